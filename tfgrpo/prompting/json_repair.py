r"""JSON out of what models write: fences, prose, broken brackets, and LaTeX whose backslashes were not escaped.

The last is the treacherous one: "\frac", "\times" and "\beta" are valid JSON escapes (form feed, tab, backspace), so a
reply can parse without complaint and lose its mathematics.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from tfgrpo.prompting.json_stretches import Stretch, closing, fences, mended, stretches
from tfgrpo.prompting.thinking import after_thinking
from tfgrpo.system.untrusted_json import Unreadable, each_value, loads

_BACKSLASH = re.compile(r"\\(?:[\"\\/bfnrt']|u[0-9a-fA-F]{4})|\\")
_WORD = re.compile(r"\w{2,}")
_COMMENT = re.compile(r"(?<!:)//[^\n]*|/\*[^*]*\*/|^[ \t]*#[^\n]*", re.MULTILINE)
_LITERALS = frozenset({"true", "false", "null", "True", "False", "None", "json"})
_REPAIR_LIMIT = 20_000
"""Characters; repairing is quadratic at worst, and no reply that we ask for is longer."""
_UNCLOSED_LIMIT = 60
"""Brackets left open; a reply cut short leaves a few, and each level multiplies the time."""
LONGEST = 200_000
"""Characters of a reply in which JSON is looked for."""

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
class Found:
    """A JSON value somewhere in a text."""

    value: Any
    sound: bool
    """It parsed as it stood, or looks like JSON that was meant to be."""
    text: str = ""
    """What it was read from."""
    start: int = 0
    end: int = 0
    repaired: bool = False
    """Whether its text had to be guessed at, so that words may be lost."""

    @property
    def lossy(self) -> bool:
        """Whether words of its text are not in the value."""
        if not self.repaired:
            return False
        kept = json.dumps(self.value, ensure_ascii=False)
        return bool(_words(_COMMENT.sub(" ", self.text)) - _words(kept) - _LITERALS)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.replace("\\n", " ").replace("\\t", " ")))


def recover_json(text: str) -> Any:
    """The JSON value a reply means; None if there is none (a reply that says `null` means nothing either).

    Tried in this order: the whole text; the last fenced block that parses; the last object or array in the text,
    objects before arrays of plain values, repaired where it must be; the whole text repaired.
    """
    found = recover(text)
    return found[-1].value if found else None


def recover(text: str) -> list[Found]:
    """All JSON values of a reply, in order, but for the last: that is the one which the reply means.

    Objects and lists of objects alone count beside it; numbers in prose do not. Empty where there is none.
    """
    whole = text.replace("\ufeff", "").strip()
    if len(whole) > LONGEST:
        return []
    try:
        value = _loads(whole)
        if value is not None:
            return [Found(restore_latex(value), sound=True)]
        return [replace(one, value=restore_latex(one.value)) for one in _recovered(after_thinking(whole).strip())]
    except RecursionError:
        return []


def cut_short(text: str) -> bool:
    """Whether the JSON of a reply ends inside a string, as one does that met a token limit: its last words are lost."""
    whole = text.replace("\ufeff", "").strip()
    if len(whole) > LONGEST or _loads(whole) is not None:
        return False
    said = after_thinking(whole).strip()
    last = next(reversed(list(stretches(said))), None)
    if last is None or last.closed:
        return False
    return closing(said, last.start)[2] and _with_quotes_mended(said[last.start :]) is None


def _recovered(text: str) -> list[Found]:
    stretched = [one for one in (_read(text, each) for each in stretches(text)) if one is not None]
    beside = [one for one in stretched if _holds_object(one.value)]
    for candidate in (text, *reversed(list(fences(text)))):
        value = _loads(candidate)
        if value is not None:
            # The same value stands among the stretches, too.
            return [*(one for one in beside if one.value != value), Found(value, sound=True)]
    if stretched:
        # max() keeps the first of equals, and the last one in the text is wanted.
        meant = max(reversed(stretched), key=lambda item: (_holds_object(item.value), item.sound))
        return [*(one for one in beside if one is not meant), meant]
    value = _repaired(text) if set("[{(") & set(text) and set("\"':,") & set(text) else None
    return [Found(value, sound=False, text=text, repaired=True)] if isinstance(value, dict | list) else []


def restore_latex(value: Any) -> Any:
    r"""The same value with LaTeX commands put back where JSON read their first letter as an escape.

    A backspace, form feed or carriage return before a letter is always a command. A new line or tab is one only when
    the letters after it complete a command that is no word ("\nabla", "\times"); "\nu", "\to" and the like are restored
    inside mathematics only.
    """
    if isinstance(value, str):
        return _CONTROL.sub(_Restoring(value), value) if _CONTROL.search(value) else value
    if isinstance(value, list):
        return [restore_latex(item) for item in value]
    if isinstance(value, dict):
        return {restore_latex(key): restore_latex(item) for key, item in value.items()}
    return value


class _Restoring:
    r"""Restores one control character after the other, and knows whether it stands inside $...$, \(...\) or \[...\]."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._seen = 0
        self._dollars = 0
        self._open = {"\\(": False, "\\[": False}

    def __call__(self, match: re.Match[str]) -> str:
        """One control character and the letters after it, as text or as the command it was."""
        control, letters = match.groups()
        command = "\\" + _LETTER[control] + letters
        if control in "\b\f\r":
            return command
        if _SURE[control].fullmatch(letters):
            return command
        likely = _ONLY_IN_MATH[control].fullmatch(letters) and self._in_math(match.start())
        return command if likely else match[0]

    def _in_math(self, position: int) -> bool:
        new = self._text[max(0, self._seen - 1) : position]
        part = self._text[self._seen : position]
        self._dollars += part.count("$") - new.count("\\$")
        for opener, closer in (("\\(", "\\)"), ("\\[", "\\]")):
            last = max(new.rfind(opener), new.rfind(closer))
            if last >= 0:
                self._open[opener] = new.startswith(opener, last)
        self._seen = position
        return self._dollars % 2 == 1 or any(self._open.values())


def _loads(text: str) -> Any:
    """The value of a text that is JSON, be it with raw newlines, stray backslashes or encoded twice; else None."""
    for variant in (text, _escape_stray_backslashes(text)):
        try:
            value = loads(variant, strict=False, object_pairs_hook=_object)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
            inner = _loads(value)
            return inner if isinstance(inner, dict | list) else value
        return value
    return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; of a key that is given twice nothing is dropped: lists are joined, other values become a list."""
    value = dict(pairs)
    if len(value) == len(pairs):
        return value
    every: dict[str, list[Any]] = {}
    for key, item in pairs:
        every.setdefault(key, []).append(item)
    return {key: _together(items) for key, items in every.items()}


def _together(items: list[Any]) -> Any:
    if all(item == items[0] for item in items):
        return items[0]
    if all(isinstance(item, list) for item in items):
        return [one for item in items for one in item]
    return items


def _with_quotes_mended(text: str) -> Any:
    """The value of a stretch whose strings hold quotes; what follows its last bracket does not matter."""
    mend = mended(text)
    if mend is None:
        return None
    for variant in (mend, _escape_stray_backslashes(mend)):
        try:
            return next(each_value(variant, strict=False, object_pairs_hook=_object), None)
        except Unreadable:
            continue
    return None


def _escape_stray_backslashes(text: str) -> str:
    r"""Double each backslash that starts no JSON escape, as in "\alpha"."""
    return _BACKSLASH.sub(lambda match: "\\\\" if match[0] == "\\" else match[0], text)


def _repaired(text: str) -> Any:
    """What json-repair makes of a text; None when that is nothing, or when the text would take it long."""
    # Newer releases read tuples too.
    unclosed = sum(map(text.count, "[{(")) - sum(map(text.count, "]})"))
    if len(text) > _REPAIR_LIMIT or unclosed > _UNCLOSED_LIMIT:
        return None
    try:
        from json_repair import repair_json  # noqa: PLC0415 - most replies need no repair

        value = repair_json(_escape_stray_backslashes(text), return_objects=True)
    except (ValueError, RecursionError):
        return None
    return None if value == "" else value


def _read(text: str, stretch: Stretch) -> Found | None:
    """The value of a bracketed stretch; braces of plain prose give none."""
    part = text[stretch.start : stretch.end]
    where = (part, stretch.start, stretch.end)
    value = _loads(part)
    if value is not None:
        return Found(value, True, *where)
    if not re.search(r"[\"':]", part):
        return None
    value, like = _repaired(part), '"' in part and ":" in part
    found = Found(value, like, *where, repaired=True) if isinstance(value, dict | list) and value else None
    if '"' in part and (found is None or found.lossy):
        # A quote within a text ends it for the repair, and what comes after is gone.
        mend = _with_quotes_mended(part)
        if mend is not None:
            return Found(mend, like, *where)
    return found


def _holds_object(value: Any) -> bool:
    """Whether it is an object or a list of some."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value))
