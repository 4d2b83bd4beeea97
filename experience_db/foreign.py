"""Lessons that other programs learned: read from the files that they write, as text that nobody has measured here.

youtu-agent     the YAML of an agent, whose instructions end with `[G0]. ...`, and the JSON object {"G0": "..."}
ACE             a playbook: `[slug-00001] helpful=3 harmful=0 :: ...` under headings
ExpeL           rules with how often each was agreed with: `- ... {3}`, or [["...", 3]]
ReasoningBank   JSONL with `memory_items`, or their Markdown: `# Memory Item 1`, `## Title`, `## Description`,
                `## Content`

Each lesson gets a source that says which program and which entry it is from, so that it reads as brought in. What the
program counted about it stays in the reason of the edit: it is a claim, and no evidence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from experience_db.errors import BadImport
from experience_db.foreign_json import Unreadable, loads
from experience_db.records import IMPORTED, Edit, Op, Source

_YOUTU = re.compile(r"^\[(G?\d{1,9})\]\. ?(.*?)(?=^\[G?\d{1,9}\]\. |\Z)", re.MULTILINE | re.DOTALL)
_YOUTU_KEY = re.compile(r"G\d{1,9}")
_YOUTU_FILE = re.compile(r"(?m)^agent:\s*$")
_ACE = re.compile(r"\[([^\]\n]{1,80})\]\s*helpful=(\d{1,9})\s*harmful=(\d{1,9})\s*::\s*(\S.*)")
_EXPEL = re.compile(r"(?:[-*]|\d{1,9}[.)])\s+(\S.*)\{(\d{1,9})\}")
_MEMORY = re.compile(r"(?m)^#\s*Memory Item\b.*$", re.IGNORECASE)
_FIELD = re.compile(r"(?m)^##\s*(Title|Description|Content)\b:?[ \t]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Brought:
    """What a file of another program holds."""

    program: str
    edits: tuple[Edit, ...]
    left_out: int = 0
    """Entries that hold no text."""


def read_foreign(text: str) -> Brought | None:
    """Return the lessons of a file that another program wrote; None where it is none that is known.

    Raises:
        BadImport: it is one of them and damaged, or its YAML cannot be read here.
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    for program, read in _READERS:
        found = read(text)
        if found is not None:
            kept = [(entry, said.strip(), told) for entry, said, told in found if said.strip()]
            edits = tuple(_edit(program, *each) for each in kept)
            return Brought(program, edits, len(found) - len(kept))
    return None


Found = list[tuple[str, str, str]]
"""(name of the entry, its text, what the program counted about it)."""


def _edit(program: str, entry: str, said: str, told: str) -> Edit:
    source = Source(f"{IMPORTED}{program} {entry}".strip())
    reason = f"import from {program}, not measured here" + (f"; it says: {told}" if told else "")
    return Edit(Op.ADD, said, reason=reason, sources=(source,))


def _youtu(text: str) -> Found | None:
    if text.lstrip().startswith("{"):
        table = _json(text)
        if isinstance(table, dict) and table and all(_YOUTU_KEY.fullmatch(key) for key in table):
            return [(key, str(value), "") for key, value in table.items()]
        return None
    if not _YOUTU_FILE.search(text) or "instructions:" not in text:
        return None
    agent = _yaml(text).get("agent")
    told = agent.get("instructions") if isinstance(agent, dict) else None
    if not isinstance(told, str):
        raise BadImport("the YAML has no text under agent.instructions; name the file that youtu-agent wrote")
    found = [(match[1], match[2], "") for match in _YOUTU.finditer(told)]
    if not found:
        raise BadImport("agent.instructions holds no experiences such as '[G0]. ...'; name the file after practice")
    return found


def _yaml(text: str) -> dict[str, Any]:
    try:
        import yaml  # type: ignore[import-untyped,unused-ignore]  # noqa: PLC0415  this one form wants it
    except ImportError as error:
        raise BadImport("this is YAML, which needs PyYAML: pip install pyyaml") from error
    if re.search(r"(?m)(?:^|\s)[&*]\w", text.partition("instructions:")[0]):
        raise BadImport("the YAML has anchors, which can stand for more than memory holds; write it out plainly")
    try:
        table = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadImport(f"the YAML cannot be read ({' '.join(str(error).split())[:120]})") from error
    return table if isinstance(table, dict) else {}


def _ace(text: str) -> Found | None:
    section, found = "", []
    for line in text.split("\n"):
        if line.startswith("#"):
            section = line.lstrip("# ").strip()
        elif match := _ACE.fullmatch(line.strip()):
            told = f"helpful {int(match[2])}, harmful {int(match[3])}" + (f", section {section}" if section else "")
            found.append((match[1], match[4], told))
    return found or None


def _expel(text: str) -> Found | None:
    if text.lstrip().startswith("["):
        rows = _json(text)
        if not isinstance(rows, list) or not rows or not all(_is_rule(row) for row in rows):
            return None
        return [(f"rule {number}", row[0], f"agreed {row[1]}") for number, row in enumerate(rows, 1)]
    lines = [line for line in text.split("\n") if line.strip()]
    matches = [match for line in lines if (match := _EXPEL.fullmatch(line.strip()))]
    if not matches or len(matches) < len(lines) / 2:
        return None
    return [(f"rule {number}", match[1].rstrip(), f"agreed {match[2]}") for number, match in enumerate(matches, 1)]


def _is_rule(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 2 and isinstance(row[0], str) and type(row[1]) is int


def _reasoning_bank(text: str) -> Found | None:
    if '"memory_items"' not in text:
        return _memories(text, "") if _MEMORY.search(text) else None
    found: Found = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        row = _json(line)
        items = row.get("memory_items") if isinstance(row, dict) else None
        if not isinstance(items, list | str):
            raise BadImport(f"line {number} has no list of memory_items; name a memory file of ReasoningBank")
        joined = items if isinstance(items, str) else "\n\n".join(map(_memory_text, items))
        task = str(row.get("task_id", number))
        found += _memories(joined, f"task {task} ") if _MEMORY.search(joined) else [(f"task {task}", joined, "")]
    return found


def _memory_text(item: Any) -> str:
    """One item, as the text it is in the file or as the object that some versions keep."""
    if not isinstance(item, dict):
        return str(item)
    parts = (f"## {key.title()} {item[key]}" for key in ("title", "description", "content") if item.get(key))
    return "\n".join(("# Memory Item", *parts))


def _memories(text: str, where: str) -> Found:
    found = []
    for number, body in enumerate(_MEMORY.split(text)[1:], 1):
        pieces = _FIELD.split(body.replace("```", ""))
        fields = {key.lower(): " ".join(said.split()) for key, said in zip(pieces[1::2], pieces[2::2], strict=False)}
        said = " ".join(filter(None, (_ended(fields.get(key, "")) for key in ("title", "description", "content"))))
        found.append((f"{where}item {number}", said, ""))
    return found


def _ended(said: str) -> str:
    return said if not said or said[-1] in ".!?:" else f"{said}."


def _json(text: str) -> Any:
    try:
        return loads(text)
    except Unreadable:
        return None


_READERS = (
    ("ReasoningBank", _reasoning_bank),
    ("ACE", _ace),
    ("youtu-agent", _youtu),
    ("ExpeL", _expel),
)


def programs() -> Iterator[str]:
    """Return the names of the programs whose files are known."""
    return (name for name, _ in _READERS)
