"""Reads back what `formats` writes: ids, words and taint, as far as the form holds them. Nothing of it is proved."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote

from experience_db.errors import BadImport
from experience_db.exchange import FORMAT
from experience_db.foreign_json import loads
from experience_db.formats import COLUMNS, USER
from experience_db.library import DEFAULT_TEMPLATE
from experience_db.records import Lesson

_ITEM = re.compile(r"- \[(\d{1,18})( tainted)?\] (.*)", re.DOTALL)
_BLOCK = re.compile(r"(?m)^<(lessons-[0-9a-f]{8})>\n(.*?)^</\1>$", re.DOTALL)
_LINE = re.compile(r"\[(\d{1,18})\] (.*)")
_MARKER = re.compile(r"(?m)^<!-- tfgrpo:(\S+) begin -->\r?$")
_SHOWN = re.compile(r"\{\{ '(\{[{%#])' \}\}")


def read_format(text: str) -> dict[str, Any] | None:
    """Return what a file of `formats` holds in the form that `Store.import_` takes; None where it is none of them.

    Raises:
        BadImport: it is one of them and damaged, or holds several libraries.
    """
    text = text.removeprefix("\ufeff")
    if text.startswith(",".join(COLUMNS)):
        return _exported("a CSV table", _from_table(text))
    plain = text.replace("\r\n", "\n") if text.count("\r\n") == text.count("\n") else text
    if plain.startswith("---\nname: ") and "\n  tfgrpo-version: " in plain.partition("\n---\n")[0]:
        _, found, body = plain.partition("\n## Lessons\n")
        if not found:
            raise BadImport("the skill has no heading '## Lessons'; export it anew")
        return _exported("a skill", _from_items(body))
    if names := _MARKER.findall(plain):
        return _from_sections(plain, names)
    for begin, what, read in _JSON:
        if begin.match(plain.lstrip()):
            return _exported(what, read(plain))
    if (block := _BLOCK.search(plain)) and _LINE.match(block[2]):
        return _exported("a block", _from_block(block[2]))
    return None


def _from_sections(text: str, names: list[str]) -> dict[str, Any]:
    if len(names) > 1:
        known = ", ".join(map(unquote, names))
        raise BadImport(f"the file holds several sections ({known}); give each in a file of its own")
    body = text.partition(f"<!-- tfgrpo:{names[0]} begin -->\n")[2]
    inside, found, _ = body.partition(f"\n<!-- tfgrpo:{names[0]} end -->")
    if not found:
        raise BadImport(f"the section of {unquote(names[0])!r} has no end; export it anew")
    return _exported(f"the section of {unquote(names[0])}", _from_items(inside))


def _from_items(body: str) -> list[Lesson]:
    """Items until the first heading below one; lines that an editor left bare belong to the item around them."""
    found: list[list[Any]] = []
    bare = 0
    for line in body.split("\n"):
        if match := _ITEM.fullmatch(line):
            found.append([int(match[1]), bool(match[2]), match[3]])
        elif line.startswith("  ") and found:
            found[-1][2] += "\n" * bare + "\n" + line[2:]
        elif line.startswith("#") and found:
            break
        elif not line:
            bare += 1
            continue
        bare = 0
    return [Lesson(i, text, 1, 1, tainted=tainted) for i, tainted, text in found]


def _from_table(text: str) -> list[Lesson]:
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        return [_from_row(row) for row in list(rows)[1:] if row]
    except (csv.Error, ValueError, IndexError) as error:
        raise BadImport(f"the table is damaged ({error}); export it anew") from error


def _from_row(row: list[str]) -> Lesson:
    words = row[1].removeprefix("'")
    return Lesson(int(row[0]), words, 1, 1, tainted=bool(int(row[2])))


def _from_messages(text: str) -> list[Lesson]:
    try:
        messages = loads(text)
        contents = [str(message["content"]) for message in messages]
    except (ValueError, TypeError, KeyError) as error:
        raise BadImport(f"the messages are damaged ({type(error).__name__}: {error}); export them anew") from error
    if any(USER in content for content in contents):
        contents = [_SHOWN.sub(r"\1", content) for content in contents]
    return _from_texts(contents)


def _from_predictor(text: str) -> list[Lesson]:
    try:
        told = str(loads(text)["signature"]["instructions"])
    except (ValueError, TypeError, KeyError) as error:
        raise BadImport(f"the predictor is damaged ({type(error).__name__}: {error}); export it anew") from error
    return _from_texts([told])


def _from_texts(contents: list[str]) -> list[Lesson]:
    blocks = [block[2] for content in contents if (block := _BLOCK.search(content))]
    if len(blocks) != 1:
        raise BadImport("there is no block of lessons in the form of the default template; import the JSON export")
    return _from_block(blocks[0])


def _from_block(body: str) -> list[Lesson]:
    lines = [(line, _LINE.fullmatch(line)) for line in body.split("\n") if line]
    if wrong := [line for line, match in lines if match is None]:
        raise BadImport(f"the block holds a line that is no lesson: {wrong[0][:60]!r}; import the JSON")
    return [Lesson(int(match[1]), match[2], 1, 1) for _, match in lines if match]


_JSON = (
    (re.compile(r'\[\s*\{\s*"role"'), "messages", _from_messages),
    (re.compile(r'\{\s*"traces"'), "a predictor", _from_predictor),
)
"""How a JSON file begins, what it is, and who reads it."""


def _exported(what: str, lessons: Iterable[Lesson]) -> dict[str, Any]:
    """In the form of `Store.export`, with the default template, no sources and no evidence."""
    return {
        "format": FORMAT, "library": what, "version": "of another form", "template": DEFAULT_TEMPLATE,
        "lessons": [asdict(lesson) for lesson in lessons], "evidence": [],
    }  # fmt: skip
