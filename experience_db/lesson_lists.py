"""Lists of lessons as people write them: JSONL, Markdown, plain lines. What is left out is told line by line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from experience_db.errors import BadImport
from experience_db.foreign_json import Unreadable, each_value, fault_of
from experience_db.records import Edit, Op

TAINTED = "tainted by tool output"
"""How a Markdown export marks such a lesson; an import reads it back."""

_BULLET = re.compile(r"(?P<indent>\s*)(?:[-*+•◦‣●∙·–]|\d{1,9}[.)])\s+(?:\[[\w ]{1,20}\]\s+)?(?P<said>\S.*)", re.DOTALL)
_LINE_END = re.compile(r"\r\n|\n|\r")
_SENTENCE_END = re.compile(r"[.!?。！？:;…][\"')\]”’»]*\s*\Z")
_RULE = re.compile(r"\s*(?:-{3,}|={3,}|\*{3,}|_{3,})\s*")


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A line that became no lesson."""

    number: int
    """From 1."""
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Listed:
    """What a list holds."""

    edits: tuple[Edit, ...]
    """One ADD for each lesson, in order."""
    lines: int
    """Lines with anything on them."""
    left_out: tuple[LeftOut, ...] = ()


def read_list(text: str) -> Listed:
    """Read lessons from a file's text.

    JSON is taken value by value: strings, or objects with `text` or `lesson` (and perhaps `tainted`), one a line,
    several a line, or in one array. Else the items of a Markdown list, at the depth of the first one; indented lines
    and lines right below continue an item. Without any item each line is a lesson, where all of them are sentences.
    Only line feeds and carriage returns end a line: other separators are part of the text.

    Raises:
        BadImport: a line that is not JSON among JSON, or no list at all; it names the line.
    """
    text = text.removeprefix("\ufeff")
    first = text.lstrip()[:1]
    return _from_json(text) if first in {"{", '"'} or _is_array(text) else _from_lines(_LINE_END.split(text))


def _is_array(text: str) -> bool:
    return re.match(r"\s*\[\s*[\"{\]]", text) is not None


def _from_json(text: str) -> Listed:
    found: list[Edit] = []
    if _is_array(text):
        values = _values(text, 1)
        for number, value in enumerate(
            [item for each in values for item in (each if isinstance(each, list) else [each])], 1
        ):
            found.append(_lesson(value, f"entry {number}"))
        return Listed(tuple(found), len([line for line in text.split("\n") if line.strip()]))
    lines = _LINE_END.split(text)
    for number, line in enumerate(lines, start=1):
        if line.strip():
            found.extend(_lesson(value, f"line {number}") for value in _values(line, number))
    return Listed(tuple(found), sum(1 for line in lines if line.strip()))


def _values(line: str, number: int) -> Iterator[Any]:
    """All JSON values of a line, one after the other."""
    try:
        yield from each_value(line, object_pairs_hook=lambda pairs: _unique(pairs, number))
    except Unreadable as error:
        raise BadImport(f"line {number} is not JSON ({fault_of(error)}); give one lesson per line") from error


def _unique(pairs: list[tuple[str, Any]], number: int) -> dict[str, Any]:
    """An object whose keys are all different: the second of two would silently win."""
    if len({key for key, _ in pairs}) < len(pairs):
        raise BadImport(f"line {number} gives a key twice; give one lesson per line")
    return dict(pairs)


def _lesson(row: Any, where: str) -> Edit:
    lesson = row.get("text", row.get("lesson")) if isinstance(row, Mapping) else row
    if not isinstance(lesson, str) or not lesson.strip():
        raise BadImport(f'{where} holds no lesson; write {{"text": "..."}} on each line')
    return Edit(Op.ADD, lesson, tainted=isinstance(row, Mapping) and bool(row.get("tainted")))


def _from_lines(lines: list[str]) -> Listed:
    used = sum(1 for line in lines if line.strip())
    bullets = [match for line in lines if not _RULE.fullmatch(line) and (match := _BULLET.fullmatch(line))]
    if bullets:
        edits, left_out = _items(lines, len(bullets[0]["indent"]))
        return Listed(edits, used, left_out)
    said = [line.strip() for line in lines if line.strip()]
    sentences = [line for line in said if not line.startswith("#")]
    if len(sentences) > 1 and all(map(_SENTENCE_END.search, sentences)):
        heads = [LeftOut(n, x.strip(), "a heading") for n, x in enumerate(lines, 1) if x.strip().startswith("#")]
        return Listed(tuple(Edit(Op.ADD, line) for line in sentences), used, tuple(heads))
    if said:
        raise BadImport("no list items found; start each lesson with '- ', or give JSONL, or one sentence a line")
    return Listed((), 0)


def _items(lines: list[str], depth: int) -> tuple[tuple[Edit, ...], tuple[LeftOut, ...]]:
    """The items at a depth of a Markdown list, and the lines that are none."""
    texts: list[str] = []
    tainted: set[int] = set()
    left_out: list[LeftOut] = []
    below = nested = False
    for number, line in enumerate(lines, start=1):
        item = None if _RULE.fullmatch(line) else _BULLET.fullmatch(line)
        indented = line[:1].isspace()
        if not line.strip():
            below = False
        elif item and len(item["indent"]) <= depth:
            texts.append(item["said"].strip())
            below, nested = True, False
        elif item and texts and item["said"].strip() == TAINTED:
            tainted.add(len(texts) - 1)
            nested = True
        elif item:
            left_out.append(LeftOut(number, line.strip(), "an item below a lesson"))
            nested = True
        elif texts and not nested and (indented or (below and not _is_block(line))):
            texts[-1] += "\n" + line.strip()
        else:
            left_out.append(LeftOut(number, line.strip(), _kind(line)))
            below = False
    edits = tuple(Edit(Op.ADD, said, tainted=number in tainted) for number, said in enumerate(texts))
    return edits, tuple(left_out)


def _is_block(line: str) -> bool:
    """Whether a line begins something else than text."""
    return line.lstrip()[:1] in {"#", ">", "|", "<"} or line.lstrip().startswith("```") or bool(_RULE.fullmatch(line))


def _kind(line: str) -> str:
    if line.lstrip().startswith("#"):
        return "a heading"
    return "a rule" if _RULE.fullmatch(line) else "a line outside the list"
