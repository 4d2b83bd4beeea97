"""`tfgrpo lessons review`: what waits for a person, why, and the decision; and the same scan for lessons by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from experience_db import Evidence, Store, UnappliedEdit
from tfgrpo import config as configuration
from tfgrpo.cli import options as o
from tfgrpo.cli.lesson_words import effect_in_words, lesson_count
from tfgrpo.errors import UsageError
from tfgrpo.lessons import review as reviewing
from tfgrpo.lessons.scanners import Kind, described, scan, visible

Allow = Annotated[
    str, typer.Option("--allow", help="Findings that shall not stop it, between commas: instruction, url, code, ...")
]
MOST = 5
"""Findings of an import that are listed one by one."""


class Action(StrEnum):
    """What to do with edits that wait."""

    LIST = "list"
    ACCEPT = "accept"
    REJECT = "reject"


def review(
    action: Annotated[Action, typer.Argument(help="What to do.")] = Action.LIST,
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of waiting edits, as the list gives them.")] = None,
    library: o.Name = "default",
    db: o.Db = None,
    reason: Annotated[str, typer.Option("--reason", help="Why they are rejected, or accepted.")] = "",
    all_: Annotated[bool, typer.Option("--all", help="List also what a gate could not decide.")] = False,
    json_: o.Json = False,
) -> None:
    """List the edits that wait for a person, and accept or reject them by number.

    What is accepted makes one new version and keeps the evidence of its gate; what is rejected stays on record with the
    reason, and later runs do not propose it again.
    """
    if action is Action.LIST:
        if ids:
            raise UsageError("list takes no numbers; write `review accept 12` or `review reject 12 --reason ...`")
        _list(library, db, all_=all_, as_json=json_)
        return
    if not ids:
        raise UsageError(f"say which edits to {action}, by number; `tfgrpo lessons review` lists them")
    if len(set(ids)) < len(ids):
        raise UsageError("an edit is named twice; name each once")
    if action is Action.REJECT and not reason:
        raise UsageError('say why with --reason "..."; it is kept with the edit')
    with Store.open(_existing(db)) as store:
        told = _accept(store, library, ids, reason) if action is Action.ACCEPT else _reject(store, library, ids, reason)
    if json_:
        o.print_json(told)
    else:
        typer.echo(told["said"])


def require_clean(texts: Iterable[str], allow: str, what: str = "lesson") -> None:
    """Raise UsageError where the scanners find something in lessons that somebody gives by hand."""
    allowed, known = reviewing.parse_kinds(allow), configuration.secrets()
    found = [(i, x) for i, text in enumerate(texts, 1) for x in scan(text, allow=allowed, known=known)]
    if not found:
        return
    listed = "; ".join(f"{what} {i}: {described([x])}" for i, x in found[:MOST])
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    kinds = ",".join(dict.fromkeys(x.kind for _, x in found))
    raise UsageError(f"nothing was stored: {listed}{more}; if that is as it should be, add --allow {kinds}")


def _existing(db: Path | None) -> Path:
    """Return the database; to write is no reason to make one."""
    path = o.db_path(db)
    with Store.open(path, readonly=True):
        return path


def _accept(store: Store, library: str, ids: Sequence[int], reason: str) -> dict[str, Any]:
    made = reviewing.accept_waiting(store, library, ids, f"review: {reason}" if reason else "review")
    said = f"library {library!r}: version {made.version}, {lesson_count(len(made))}"
    return {"library": library, "accepted": list(ids), "version": made.version, "lessons": len(made), "said": said}


def _reject(store: Store, library: str, ids: Sequence[int], reason: str) -> dict[str, Any]:
    store.reject(library, ids, reason=f"{reviewing.REFUSED}: {reason}")
    left = sum(item.reason.startswith(reviewing.WAITS) for item in store.pending(library))
    said = f"library {library!r}: {len(ids)} rejected, {left} still waiting; the library stays as it is"
    return {"library": library, "rejected": list(ids), "waiting": left, "said": said}


def _list(library: str, db: Path | None, *, all_: bool, as_json: bool) -> None:
    with Store.open(o.db_path(db), readonly=True) as store:
        found = [x for x in store.pending(library) if all_ or x.reason.startswith(reviewing.WAITS)]
        measured = store.evidence(library)
        rows = [(item, reviewing.findings_about(item), _gate(item, measured)) for item in found]
        texts = {lesson.id: lesson.text for lesson in store.library(library)}
    if as_json:
        o.print_json({"library": library, "waiting": [_plain(*row) for row in rows]})
        return
    typer.echo(f"library {library!r}: {len(rows)} {'edit waits' if len(rows) == 1 else 'edits wait'}")
    for item, _, evidence in rows:
        typer.echo(f"  {item.id}: {item.edit.op.value} {_words(item)}")
        for i in item.edit.ids:
            typer.echo(f"      in place of [{i}] {visible(texts.get(i, '(gone)'))}")
        typer.echo(f"      {visible(item.reason)}")
        problems = ", ".join(dict.fromkeys(s.problem_id for s in item.edit.sources)) or "no problem"
        taint = "tainted by tool output; " if item.edit.tainted else ""
        typer.echo(f"      {taint}from {problems}; run {item.run or '-'}; {effect_in_words(evidence)}")
    if rows:
        name = "" if library == "default" else f" --library {library}"
        typer.echo(f"decide by number: tfgrpo lessons review accept|reject NUMBER...{name} --reason TEXT")


def _gate(item: UnappliedEdit, measured: Sequence[Evidence]) -> tuple[Evidence, ...]:
    """Return what a gate measured about a waiting edit, readable as an effect."""
    return tuple(dataclasses.replace(e, verdict="") for e in measured if reviewing.measured_alone(e, item))


def _words(item: UnappliedEdit) -> str:
    return visible(" ".join((item.edit.text or "").split()))


def _plain(item: UnappliedEdit, found: Sequence[Any], evidence: Sequence[Evidence]) -> dict[str, Any]:
    return {
        **dataclasses.asdict(item),
        "waits": item.reason.startswith(reviewing.WAITS),
        "findings": [{"kind": Kind(x.kind).value, "reason": x.reason} for x in found],
        "evidence": [{k: v for k, v in dataclasses.asdict(e).items() if k != "detail"} for e in evidence],
    }
