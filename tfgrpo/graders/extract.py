"""Finding the final answer in a reply, and comparing two short answers as text."""

from __future__ import annotations

import re
import unicodedata

from tfgrpo.prompting.thinking import after_thinking

__all__ = ["after_thinking", "final_answer", "last_boxed", "last_tagged", "normalise"]

_BOXED = re.compile(r"\\f?boxed\s*(?=\{)")
_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.IGNORECASE | re.DOTALL)
_LINE = re.compile(
    r"^[ \t>*_#-]*(?:the\s+)?(?:final\s+)?answer[ \t*_]*(?:[:：]|\bis\b:?)[ \t*_]*", re.IGNORECASE | re.MULTILINE
)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\*\*|__|`|\$|\\[()\[\]!,;]")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_ENDS = frozenset(" .,;:?!\"'“”‘’«»…。，；：！？")
_BEFORE = frozenset("0123456789)")
# NFKC would turn a raised or lowered digit into an ordinary one: 10² into 102.
_RAISED = {ord(c): f"^{d}" for c, d in zip("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789", strict=True)}
_LOWERED = {ord(c): f"_{d}" for c, d in zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)}


def final_answer(text: str) -> str:
    r"""The part of a reply that answers: the last of the first kind found.

    Looked for in this order: `\boxed{...}` with balanced braces; `<answer>...</answer>`; the text after the last line
    that starts "Answer:", "Final answer:" or "The answer is"; else the whole text. A thinking block is dropped first.
    """
    text = after_thinking(text)
    boxed = last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    tagged = last_tagged(text)
    if tagged is not None:
        return tagged.strip()
    lines = list(_LINE.finditer(text))
    if lines:
        rest = text[lines[-1].end() :].strip()
        if rest:
            return rest.split("\n\n")[0].strip()
    return text.strip()


def last_tagged(text: str) -> str | None:
    """The content of the last `<answer>...</answer>`; None if there is none."""
    found = _TAG.findall(text)
    return str(found[-1]) if found else None


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` whose braces balance; None if there is none. One pass over the text."""
    starts = {match.end() for match in _BOXED.finditer(text)}
    pairs = _braces(text) if starts else {}
    begin = max((start for start in starts if start in pairs), default=None)
    return None if begin is None else text[begin + 1 : pairs[begin]]


def _braces(text: str) -> dict[int, int]:
    r"""Where each brace that closes again does so; escaped braces (`\{`) do not count."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            pairs[opened.pop()] = match.start()
    return pairs


def normalise(text: str) -> str:
    r"""A short answer with all that carries no meaning removed.

    NFKC and case folded; markdown and LaTeX wrapping (`**`, `$`, `\text{}`, thin spaces) and a leading article removed;
    white space runs become one space; punctuation and quotes at both ends dropped; the commas of "1,000" removed.
    """
    text = unicodedata.normalize("NFKC", text.translate(_RAISED).translate(_LOWERED)).casefold()
    text = _MARKUP.sub("", _WRAPPED.sub(r"\1", text))
    whole = " ".join(text.split())
    text = _trimmed(whole) or whole
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    return re.sub(r"^(?:the|an?)\s+(?=\S)", "", text)


def _trimmed(text: str) -> str:
    """Without punctuation and quotes at both ends, but for the point of ".5" and the sign of "5!"."""
    start, end = 0, len(text)
    while start < end and text[start] in _ENDS and not (text[start] == "." and text[start + 1 : start + 2].isdecimal()):
        start += 1
    while end > start and text[end - 1] in _ENDS and not (text[end - 1] == "!" and text[end - 2 : end - 1] in _BEFORE):
        end -= 1
    return text[start:end]
