"""Finding the final answer in a reply, and comparing two short answers as text."""

from __future__ import annotations

import re
import unicodedata

_BOXED = re.compile(r"\\f?boxed\s*(?=\{)")
_TAG = re.compile(r"<answer>((?:(?!<answer>).)*?)</answer>", re.IGNORECASE | re.DOTALL)
_LINE = re.compile(
    r"^[ \t>*_#-]*(?:the\s+)?(?:final\s+)?answer[ \t*_]*(?:[:：]|\bis\b:?)[ \t*_]*", re.IGNORECASE | re.MULTILINE
)
_THINK = re.compile(r"^.*</think>", re.IGNORECASE | re.DOTALL)
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|operatorname)\s*\{([^{}]*)\}")
_MARKUP = re.compile(r"\*\*|__|`|\$|\\[()\[\]!,;]")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
_LEADING = re.compile(r"^(?:[\s,;:!?\"'“”‘’«»…。，；：！？]|\.(?!\d))+")
_TRAILING = re.compile(r"(?:[\s.,;:?\"'“”‘’«»…。，；：！？]|(?<![\d)])!)+$")
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
    tagged = _TAG.findall(text)
    if tagged:
        return str(tagged[-1]).strip()
    lines = list(_LINE.finditer(text))
    if lines:
        rest = text[lines[-1].end() :].strip()
        if rest:
            return rest.split("\n\n")[0].strip()
    return text.strip()


def after_thinking(text: str) -> str:
    """The reply without its `<think>` block; an unclosed block is kept, for there is nothing else."""
    return _THINK.sub("", text)


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}` whose braces balance; None if there is none."""
    for match in reversed(list(_BOXED.finditer(text))):
        end = closing_brace(text, match.end())
        if end is not None:
            return text[match.end() + 1 : end]
    return None


def closing_brace(text: str, start: int) -> int | None:
    r"""Where the brace opened at `start` closes; escaped braces (`\{`) do not count."""
    depth = 0
    i = start
    while i < len(text):
        if text[i] == "\\":
            i += 1
        elif text[i] == "{":
            depth += 1
        elif text[i] == "}":
            depth -= 1
            if depth == 0:
                return i
        i += 1
    return None


def normalise(text: str) -> str:
    r"""A short answer with all that carries no meaning removed.

    NFKC and case folded; markdown and LaTeX wrapping (`**`, `$`, `\text{}`, thin spaces) and a leading article removed;
    white space runs become one space; punctuation and quotes at both ends dropped; the commas of "1,000" removed.
    """
    text = unicodedata.normalize("NFKC", text.translate(_RAISED).translate(_LOWERED)).casefold()
    text = _MARKUP.sub("", _WRAPPED.sub(r"\1", text))
    whole = " ".join(text.split())
    text = _TRAILING.sub("", _LEADING.sub("", whole)) or whole
    if _GROUPED.fullmatch(text):
        text = text.replace(",", "")
    return re.sub(r"^(?:the|an?)\s+(?=\S)", "", text)
