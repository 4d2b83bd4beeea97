"""Where JSON stands in a text, found in one pass: fenced blocks, bracketed stretches, and quotes that are no ends.

Everything here is a scanner by hand: an expression that backtracks would stand still on a reply of nothing but quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BRACKET = re.compile(r"[{\[]")
_JSON_LIKE = re.compile(r"[{\[]\s{0,200}(?:[\"'{\[\]}]|//|/\*|[A-Za-z_]\w{0,100}\s{0,20}:)")
_MARK = re.compile(r"[\"{}\[\]]")
_IN_STRING = re.compile(r"[\"\\]")
_OUTSIDE = re.compile(r"[\"{}\[\]:,]")
_KEY_FOLLOWS = re.compile(r",\s{0,200}\"[^\"\\]{1,80}\"\s{0,20}:")
_ITEM_FOLLOWS = re.compile(r",\s{0,200}[\"{\[\-\dtfn]")
_LANGUAGE = re.compile(r"[\w-]{0,40}[ \t]{0,40}")
_CLOSER = {"{": "}", "[": "]"}
_MISSES = 100
"""How many brackets that never close are passed over before the search ends; each costs a pass over the text."""
_MOST_SCANNED = 2_000_000
"""Characters that all of these passes together may cost."""
_SPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A bracketed part of a text."""

    start: int
    end: int
    closed: bool
    """Whether its bracket closes; else it runs to the end of the text."""


def fences(text: str) -> Iterator[str]:
    """Yield what stands in fenced blocks, in order."""
    position = 0
    line_end = -1
    while (start := text.find("```", position)) >= 0:
        if line_end < start:
            line_end = text.find("\n", start)
        if line_end < 0:
            return
        head = text[start + 3 : min(line_end, start + 90)]
        if start + 90 < line_end or not _LANGUAGE.fullmatch(head):
            position = start + 1
            continue
        close = text.find("```", line_end + 1)
        if close < 0:
            return
        yield text[line_end + 1 : close].rstrip(" \t").removesuffix("\n")
        position = close + 3


def stretches(text: str) -> Iterator[Stretch]:
    """Yield the bracketed stretches of a text, outermost only; one that is not closed well runs to the end.

    A bracket that neither closes nor looks like JSON, such as the interval [0, 1), is passed over.
    """
    position = misses = scanned = 0
    while misses < _MISSES and scanned < _MOST_SCANNED and (match := _BRACKET.search(text, position)):
        end, reached, _ = closing(text, match.start())
        if end is None and not _JSON_LIKE.match(text, match.start()):
            scanned += reached - match.start()
            position, misses = match.end(), misses + 1
            continue
        position = len(text) if end is None else end
        yield Stretch(match.start(), position, end is not None)


def closing(text: str, start: int) -> tuple[int | None, int, bool]:
    """Return where the bracket at `start` closes, how far was looked, and whether the text ends inside of a string.

    The first is the position behind the closing bracket; None if it is never closed, or by one of another kind.
    Brackets inside strings do not count.
    """
    expected: list[str] = []
    position = start
    while match := _MARK.search(text, position):
        mark, position = match[0], match.end()
        if mark == '"':
            end = string_end(text, position)
            if end is None:
                return None, len(text), True
            position = end
        elif mark in _CLOSER:
            expected.append(_CLOSER[mark])
        else:
            if expected.pop() != mark:
                return None, position, False
            if not expected:
                return position, position, False
    return None, len(text), False


def string_end(text: str, position: int) -> int | None:
    """Return the position behind the quote that ends a string which began before `position`; None without one."""
    while match := _IN_STRING.search(text, position):
        if match[0] == '"':
            return match.end()
        position = match.end() + 1
    return None


def mended(text: str) -> str | None:
    """Return a text that begins with a bracket, with the quotes inside of its strings escaped; None without an end.

    A quote ends a string only where what follows could follow a string there: a colon behind a key, a comma and the
    next key behind a value, a closing bracket. So the mark of an inch stays a part of its text.
    """
    written: list[str] = []
    roles: list[str] = []
    position = 0
    while match := _OUTSIDE.search(text, position):
        written.append(text[position : match.end()])
        position = match.end()
        mark = match[0]
        if mark == '"':
            end = _believed_end(text, position, roles[-1] if roles else "")
            if end is None:
                return None
            written.append(_escaped(text[position : end - 1]) + '"')
            position = end
        elif mark in "{[":
            roles.append("key" if mark == "{" else "item")
        elif mark in "}]":
            del roles[-1:]
            if not roles:
                break
        elif roles and roles[-1] != "item":
            roles[-1] = "value" if mark == ":" else "key"
    return "".join(written) + text[position:]


def _believed_end(text: str, position: int, role: str) -> int | None:
    """The position behind the first quote that can end a string of this role."""
    while (end := string_end(text, position)) is not None:
        if not role or _may_end(text, end, role):
            return end
        position = end
    return None


def _may_end(text: str, end: int, role: str) -> bool:
    after = end
    while after < min(len(text), end + 200) and text[after] in _SPACE:
        after += 1
    follows = text[after : after + 1]
    if role == "key":
        return follows == ":"
    if role == "value":
        return follows in ("}", "") or (follows == "," and bool(_KEY_FOLLOWS.match(text, after)))
    return follows in ("]", "") or (follows == "," and bool(_ITEM_FOLLOWS.match(text, after)))


def _escaped(inner: str) -> str:
    """The inside of a string with its quotes escaped; those that are stay as they are."""
    parts, position = [], 0
    while match := _IN_STRING.search(inner, position):
        parts.append(inner[position : match.start()])
        if match[0] == '"':
            parts.append('\\"')
            position = match.end()
        else:
            parts.append(inner[match.start() : match.end() + 1])
            position = match.end() + 1
    return "".join(parts) + inner[position:]
