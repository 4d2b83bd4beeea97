"""Values to columns and back: JSON that SQLite and Datasette can read, and edits, lessons and evidence as rows."""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from experience_db.records import AppliedEdit, Edit, Evidence, Lesson, Op, Source

RESTORE = "RESTORE"
"""The stored operation that puts a lesson back as it once was. Models never see it, so it is not an `Op`."""


def to_json(value: Any) -> str:
    """Compact JSON, readable where it can be. JSON knows neither nan nor infinity: both become null."""
    try:
        text = _ENCODER.encode(value)
    except ValueError:
        text = json.dumps(nan_to_none(value), ensure_ascii=False, separators=(",", ":"), default=_plain)
    try:
        text.encode()
    except UnicodeEncodeError:  # Half a surrogate pair from a cut reply: escaped, it survives the round trip.
        text = json.dumps(json.loads(text), ensure_ascii=True, separators=(",", ":"))
    return text


def nan_to_none(value: Any) -> Any:
    """The same value with nan and infinities replaced by None, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: nan_to_none(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [nan_to_none(item) for item in value]
    return value


def canonical(value: Any) -> bytes:
    """The one JSON spelling that hashes are taken of: sorted keys, compact, UTF-8."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
    return text.encode("utf-8", "surrogatepass")


def sha256(value: Any) -> str:
    """Hex SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()


SUM = "sum:"
"""How a digest begins that is a sum over lessons; the older ones are a hash over all of them."""


def digest(lessons: Iterable[Lesson], template: str, *, like: str = SUM) -> str:
    """Return a hash of everything that a version is: equal digests mean byte-equal prompts and sources.

    It is the sum of the lessons' hashes modulo 2^256, so that a change of one lesson of many costs one lesson
    (incremental hashing, Bellare and Micciancio 1997): it tells accidents, and proves nothing against somebody who can
    write the file, who could write the digest as well. `like` is a digest whose kind is wanted, old or new.
    """
    if not like.startswith(SUM):
        return sha256({"lessons": [asdict(lesson) for lesson in lessons], "template": template})
    return _summed(sum(map(_number, lessons)), template)


def moved_digest(old: str, gone: Iterable[Lesson], come: Iterable[Lesson], template: str) -> str:
    """Return the digest of a version from that of the one before it; `old` begins with SUM."""
    total = int(old.removeprefix(SUM).partition(":")[0], 16)
    return _summed(total - sum(map(_number, gone)) + sum(map(_number, come)), template)


def _number(lesson: Lesson) -> int:
    return int(sha256(asdict(lesson)), 16)


def _summed(total: int, template: str) -> str:
    return f"{SUM}{total % 2**256:064x}:{sha256(template)}"


def sources_json(sources: Iterable[Source]) -> str:
    """Sources as a JSON list of objects."""
    return to_json([asdict(source) for source in sources])


def sources_of(rows: Iterable[Mapping[str, Any]]) -> tuple[Source, ...]:
    """Sources from decoded JSON; raises TypeError or KeyError when it is something else."""
    return tuple(Source(**{**row, "rollouts": tuple(row.get("rollouts", ()))}) for row in rows)


def lesson_of(row: sqlite3.Row) -> Lesson:
    """One row of `lessons` as a Lesson."""
    return Lesson(
        row["lesson_id"],
        row["text"],
        row["born"],
        row["changed"],
        sources_of(json.loads(row["sources"])),
        bool(row["tainted"]),
    )


def lesson_of_restore(row: sqlite3.Row) -> Lesson:
    """The lesson that a RESTORE row of `edits` puts back."""
    sources = sources_of(json.loads(row["sources"]))
    born, changed = row["restored_born"], row["restored_changed"]
    return Lesson(row["lesson_id"], row["text"], born, changed, sources, bool(row["tainted"]))


def edit_columns(edit: Edit) -> dict[str, object]:
    """The columns of `edits` that an Edit fills."""
    return {
        "op": str(edit.op),
        "lesson_ids": to_json(edit.ids),
        "text": edit.text,
        "reason": edit.reason,
        "sources": sources_json(edit.sources),
        "tainted": int(edit.tainted),
    }


def edit_of(row: sqlite3.Row) -> Edit:
    """One row of `edits` as an Edit; a RESTORE reads as an UPDATE."""
    op = Op.UPDATE if row["op"] == RESTORE else Op(row["op"])
    ids = tuple(json.loads(row["lesson_ids"]))
    sources = sources_of(json.loads(row["sources"]))
    return Edit(op, row["text"], ids, row["reason"], sources, bool(row["tainted"]))


def applied_of(row: sqlite3.Row) -> AppliedEdit:
    """One applied row of `edits` as it entered the history."""
    restored = row["op"] == RESTORE
    return AppliedEdit(row["version"], row["position"], edit_of(row), row["lesson_id"], row["created"], restored)


def evidence_of(row: sqlite3.Row) -> Evidence:
    """One row of `evidence` as Evidence, with where and when it was measured."""
    return Evidence(
        kind=row["kind"],
        estimate=row["estimate"],
        low=row["low"],
        high=row["high"],
        n=row["n"],
        lesson_ids=tuple(json.loads(row["lesson_ids"])),
        verdict=row["verdict"],
        reason=row["reason"],
        detail=json.loads(row["detail"]),
        version=row["version"],
        run=row["run"] or "",
        step=row["step"],
        created=row["created"],
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"cannot store a {type(value).__name__} as JSON; turn it into text, numbers, lists and mappings")


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
"""`json.dumps` with arguments makes one for each value."""
