r"""JSON out of what models write: fences, prose, broken brackets, and LaTeX whose backslashes were not escaped.

The last is the treacherous one: "\frac", "\times" and "\beta" are valid JSON escapes (form feed, tab, backspace), so a
reply can parse without complaint and lose its mathematics.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from json_repair import repair_json

from tfgrpo.prompting.thinking import after_thinking

_FENCE = re.compile(r"```[\w-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_BACKSLASH = re.compile(r"\\(?:[\"\\/bfnrt']|u[0-9a-fA-F]{4})|\\")
_BRACKET = re.compile(r"[{\[]")
_JSON_LIKE = re.compile(r"[{\[]\s*(?:[\"'{\[\]}]|//|/\*|[A-Za-z_]\w*\s*:)")
_MARK = re.compile(r"\"(?:[^\"\\]|\\.)*\"|[{}\[\]]", re.DOTALL)
_STRING = re.compile(r"\"(?:[^\"\\]|\\.)*\"", re.DOTALL)
_CLOSER = {"{": "}", "[": "]"}
_REPAIR_LIMIT = 50_000
"""Characters; repairing is quadratic at worst, and no reply that we ask for is longer."""
_UNCLOSED_LIMIT = 60
"""Brackets left open; a reply cut short leaves a few, and each level multiplies the time."""
_MISSES = 100
"""How many brackets that never close are passed over before the search ends; each costs a pass over the text."""

_CONTROL = re.compile(r"([\b\f\n\r\t])([A-Za-z]+)")
_LETTER = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}
_SURE = {
    "\n": re.compile(
        r"abla|atural|cong|earrow|eq|ewcommand|ewline|geq(slant)?|gtr|icefrac|leftarrow|leq(slant)?|olimits|onumber"
        r"|ormalsize|ot|otag|otin|prec|rightarrow|su[bp]seteq|su[bp]set|succ|warrow"
    ),
    "\t": re.compile(
        r"anh|au|binom|ext(bf|it|normal|rm|sf|style|tt|up)?|frac|herefore|heta|hickapprox|hinspace|ilde|imes"
        r"|riangle(down|left|q|right)?|wohead"
    ),
}
_ONLY_IN_MATH = {"\n": re.compile(r"e|eg|exists|i|less|mid|orm|parallel|sim|u|um"), "\t": re.compile(r"an|o|op")}
"""Also words or names: a new line that starts with "i" is likelier than \\ni, but not inside $...$."""


@dataclass(frozen=True, slots=True)
class _Found:
    """A JSON value somewhere in a text."""

    value: Any
    sound: bool
    """It parsed as it stood, or looks like JSON that was meant to be."""


def recover_json(text: str) -> Any:
    """The JSON value a reply means; None if there is none (a reply that says `null` means nothing either).

    Tried in this order: the whole text; the last fenced block that parses; the last object or array in the text,
    objects before arrays of plain values, repaired where it must be; the whole text repaired.
    """
    whole = text.replace("\ufeff", "").strip()
    value = _loads(whole)
    if value is None:
        value = _recovered(after_thinking(whole).strip())
    return restore_latex(value)


def cut_short(text: str) -> bool:
    """Whether the JSON of a reply ends inside a string, as one does that met a token limit: its last words are lost."""
    whole = text.replace("\ufeff", "").strip()
    if _loads(whole) is not None:
        return False
    segments = _segments(after_thinking(whole).strip())
    return bool(segments) and _closing(segments[-1], 0) is None and '"' in _STRING.sub("", segments[-1])


def _recovered(text: str) -> Any:
    for candidate in (text, *reversed(_FENCE.findall(text))):
        value = _loads(candidate)
        if value is not None:
            return value
    found = [item for item in map(_read_segment, _segments(text)) if item is not None]
    if found:
        # max() keeps the first of equals, and the last one in the text is wanted.
        return max(reversed(found), key=lambda item: (_holds_object(item.value), item.sound)).value
    value = _repaired(text) if set("[{(") & set(text) and set("\"':,") & set(text) else None
    return value if isinstance(value, dict | list) else None


def restore_latex(value: Any) -> Any:
    r"""The same value with LaTeX commands put back where JSON read their first letter as an escape.

    A backspace, form feed or carriage return before a letter is always a command. A new line or tab is one only when
    the letters after it complete a command that is no word ("\nabla", "\times"); "\nu", "\to" and the like are restored
    inside mathematics only.
    """
    if isinstance(value, str):
        return _CONTROL.sub(_restored, value) if _CONTROL.search(value) else value
    if isinstance(value, list):
        return [restore_latex(item) for item in value]
    if isinstance(value, dict):
        return {restore_latex(key): restore_latex(item) for key, item in value.items()}
    return value


def _restored(match: re.Match[str]) -> str:
    """One control character and the letters after it, as text or as the command it was."""
    control, letters = match.groups()
    command = "\\" + _LETTER[control] + letters
    if control in "\b\f\r":
        return command
    if _SURE[control].fullmatch(letters):
        return command
    likely = _ONLY_IN_MATH[control].fullmatch(letters) and _in_math(match.string[: match.start()])
    return command if likely else match[0]


def _in_math(before: str) -> bool:
    r"""Whether a text ends inside $...$, \(...\) or \[...\]."""
    dollars = before.count("$") - before.count("\\$")
    return dollars % 2 == 1 or before.rfind("\\(") > before.rfind("\\)") or before.rfind("\\[") > before.rfind("\\]")


def _loads(text: str) -> Any:
    """The value of a text that is JSON, be it with raw newlines, stray backslashes or encoded twice; else None."""
    for variant in (text, _escape_stray_backslashes(text)):
        try:
            value = json.loads(variant, strict=False)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            inner = _loads(value)
            return inner if isinstance(inner, dict | list) else value
        return value
    return None


def _escape_stray_backslashes(text: str) -> str:
    r"""Double each backslash that starts no JSON escape, as in "\alpha"."""
    return _BACKSLASH.sub(lambda match: "\\\\" if match[0] == "\\" else match[0], text)


def _repaired(text: str) -> Any:
    """What json-repair makes of a text; None when that is nothing, or when the text would take it long."""
    unclosed = text.count("[") + text.count("{") - text.count("]") - text.count("}")
    if len(text) > _REPAIR_LIMIT or unclosed > _UNCLOSED_LIMIT:
        return None
    try:
        value = repair_json(_escape_stray_backslashes(text), return_objects=True)
    except (ValueError, RecursionError):
        return None
    return None if value == "" else value


def _segments(text: str) -> list[str]:
    """The bracketed stretches of a text, outermost only; one that is not closed well runs to the end.

    A bracket that neither closes nor looks like JSON, such as the interval [0, 1), is passed over.
    """
    segments: list[str] = []
    position = misses = 0
    while misses < _MISSES and (match := _BRACKET.search(text, position)):
        end = _closing(text, match.start())
        if end is None and not _JSON_LIKE.match(text, match.start()):
            position, misses = match.end(), misses + 1
            continue
        position = len(text) if end is None else end
        segments.append(text[match.start() : position])
    return segments


def _closing(text: str, start: int) -> int | None:
    """The position behind the bracket that closes the one at `start`; None if it is never closed, or by another kind.

    Brackets inside strings do not count.
    """
    expected: list[str] = []
    position = start
    while match := _MARK.search(text, position):
        mark, position = match[0], match.end()
        if mark in _CLOSER:
            expected.append(_CLOSER[mark])
        elif mark in "}]":
            if expected.pop() != mark:
                return None
            if not expected:
                return position
    return None


def _read_segment(segment: str) -> _Found | None:
    """The value of a bracketed stretch; braces of plain prose give none."""
    value = _loads(segment)
    if value is not None:
        return _Found(value, sound=True)
    if not re.search(r"[\"':]", segment):
        return None
    value = _repaired(segment)
    return _Found(value, '"' in segment and ":" in segment) if isinstance(value, dict | list) and value else None


def _holds_object(value: Any) -> bool:
    """Whether it is an object or a list of some."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
