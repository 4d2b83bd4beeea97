"""A sealed test set: who opened it, how often and for what, written down before the first answer is scored.

The record is a file beside the tasks, one JSON object a line, each line on disk before anything else happens. So a
process that is killed while it scores has still opened the seal, and a database that is thrown away hides nothing;
what is refused, or cannot be asked, has opened nothing. The
same question again (same texts, model, grader and tasks) goes on and is no second look; any other question is.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tfgrpo.errors import UsageError
from tfgrpo.system.untrusted_json import loads


class Sealing(Protocol):
    """What a seal needs to know of what was asked."""

    @property
    def on(self) -> Any:
        """The tasks."""
        ...

    @property
    def seal(self) -> str | None:
        """The purpose; None where the set is not to be sealed."""
        ...


class Named(Protocol):
    """A text, for the record."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...


@dataclass(frozen=True, slots=True)
class Seal:
    """What is on record about a set."""

    place: Path
    sealed: Mapping[str, Any] | None
    """Hash, purpose, who and when; None where it was never sealed."""
    openings: tuple[Mapping[str, Any], ...]
    """Each with question, texts, model, who and when."""
    closings: tuple[Mapping[str, Any], ...]

    @property
    def questions(self) -> tuple[str, ...]:
        """The different questions that were asked of the set, in order."""
        return tuple(dict.fromkeys(str(o["question"]) for o in self.openings))


def read_seal(tasks: Path) -> Seal:
    """Return what is on record; a last line that was cut by a crash is left out. Raises UsageError for another file."""
    place = tasks.with_name(f"{tasks.name}.seal")
    lines = place.read_bytes().decode("utf-8", "replace").split("\n") if place.is_file() else []
    found = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                found.append(dict(loads(line)))
            except (ValueError, TypeError) as error:
                if number < len(lines):
                    raise UsageError(
                        f"{place}:{number}: not a record of a seal; put the file back as it was"
                    ) from error
    sealed = next((r for r in found if "sealed" in r), None)
    return Seal(place, sealed, tuple(r for r in found if "opened" in r), tuple(r for r in found if "closed" in r))


def require_unchanged(asked: Sealing) -> None:
    """Refuse a set that changed since it was sealed, or whose record is damaged or cannot be written; writes nothing.

    Raises:
        UsageError: so it is.
    """
    tasks = _file(asked)
    if tasks is None:
        return
    seal = read_seal(tasks)
    if seal.sealed is not None and seal.sealed["sealed"] != _digest(tasks):
        raise UsageError(f"{tasks} has changed since it was sealed; put the sealed file back, or seal a new one")
    writable = os.access(seal.place, os.W_OK) if seal.place.is_file() else os.access(seal.place.parent, os.W_OK)
    if (seal.sealed is not None or asked.seal is not None) and not (writable and not seal.place.is_dir()):
        raise UsageError(f"the seal {seal.place} cannot be written; a set is sealed beside its file")


def _file(asked: Sealing) -> Path | None:
    """Return the file of the tasks; None where they are none."""
    tasks = Path(str(asked.on)) if isinstance(asked.on, str | Path) else None
    return tasks if tasks is not None and tasks.is_file() else None


def _digest(tasks: Path) -> str:
    return hashlib.sha256(tasks.read_bytes()).hexdigest()


def record_opening(asked: Sealing, question: str, texts: Sequence[Named], model: str) -> dict[str, Any] | None:
    """Record that a set is opened, before anything is scored; None where it is neither sealed nor to be sealed.

    Raises:
        UsageError: as of `require_unchanged`.
    """
    require_unchanged(asked)
    tasks = _file(asked)
    if tasks is None:
        return None
    seal, digest = read_seal(tasks), _digest(tasks)
    if seal.sealed is None and asked.seal is None:
        return None
    if seal.sealed is None:
        _append(seal.place, {"sealed": digest, "purpose": asked.seal, **_who()})
        seal = read_seal(tasks)
    assert seal.sealed is not None
    known = question in seal.questions
    # A question stands as it was first asked: what others saw since cannot have changed it.
    before = seal.questions[: seal.questions.index(question)] if known else seal.questions
    _append(seal.place, {"opened": question, "question": question, "texts": [t.name for t in texts], "model": model,
                         **_who()})  # fmt: skip
    return {
        "purpose": seal.sealed.get("purpose"),
        "sha256": digest,
        "looks": len(before) + 1,
        "openings": len(seal.openings) + 1,
        "again": known,
        "told": f"{_told(len(before), len(seal.openings), again=known)}; {_record(seal)}",
    }


def record_closing(asked: Sealing, question: str, verdict: str) -> None:
    """Record how a question was answered, where the set is sealed."""
    tasks = _file(asked)
    if tasks is not None and (seal := read_seal(tasks)).sealed is not None:
        _append(seal.place, {"closed": question, "verdict": verdict, "at": time.time()})


def _told(others: int, openings: int, *, again: bool) -> str:
    if not others:
        word = "the same question again, which goes on" if again else "the first look"
        return f"{word} at this sealed set (opened {openings + 1} times)"
    return (
        f"look {others + 1}: {others} other question{'s were' if others > 1 else ' was'} asked of this sealed set "
        "before; its error rate holds for one look, and what was chosen by an earlier one looks too good"
    )


def _record(seal: Seal) -> str:
    """Return in words what the set was sealed for, and who has opened it before."""
    who = ", ".join(dict.fromkeys(str(o.get("by", "unknown")) for o in seal.openings))
    purpose = (seal.sealed or {}).get("purpose")
    return f"sealed for {purpose!r}" + (f", opened before by {who}" if who else "")


def _append(place: Path, record: Mapping[str, Any]) -> None:
    """Write one line, and come back only when it is on disk."""
    line = f"{json.dumps(record, ensure_ascii=False, sort_keys=True)}\n".encode()
    try:
        cut = _cut(place.read_bytes()) if place.is_file() else b""
        with place.open("ab") as stream:
            if cut and not _is_record(cut):
                # Nothing was asked before the whole line was on disk; left in the middle it would spoil the record.
                stream.truncate(place.stat().st_size - len(cut))
                cut = b""
            stream.write(b"\n" * bool(cut) + line)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UsageError(
            f"the seal {place} cannot be written: {error.strerror}; a set is sealed beside its file"
        ) from error


def _cut(data: bytes) -> bytes:
    """What a crash left of a last line."""
    return data[data.rfind(b"\n") + 1 :]


def _is_record(line: bytes) -> bool:
    try:
        return isinstance(loads(line), dict)
    except ValueError:
        return False


def _who() -> dict[str, Any]:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "unknown"
    return {"by": name, "at": time.time()}
