"""`tfgrpo learn --from-sessions` and `--from-traces`: what is there already, in place of a dataset."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from tfgrpo.cli import options as o
from tfgrpo.errors import UsageError
from tfgrpo.learning.setup import Setup
from tfgrpo.system.signals import on_stop

if TYPE_CHECKING:
    from tfgrpo.sessions import SessionRules
    from tfgrpo.studies.learn_stored import Taught

FOLLOW_SECONDS = 30.0
"""Pause between two looks of `--follow`."""
TABLE = "sessions."


@dataclass(frozen=True, slots=True)
class StoredSource:
    """Where to learn from in place of a dataset."""

    rules: SessionRules
    traces: Path | None = None
    follow: bool = False
    first: tuple[int, ...] = ()
    heldout: str | None = None


def stored_source(
    dataset: str,
    grader: str,
    traces: Path | None,
    sessions: bool,
    follow: bool,
    first: Sequence[int] | None,
    heldout: str | None,
    sets: Sequence[str] | None,
) -> tuple[StoredSource | None, list[str]]:
    """Return where to learn from when it is no dataset, None when it is one; and the `-s` overrides for a run.

    Raises:
        UsageError: options that do not go together, or none that says where from.
    """
    if (follow or first) and not sessions:
        raise UsageError("--follow and --try go with --from-sessions")
    named = {"DATASET": dataset, "--from-traces": traces, "--from-sessions": sessions}
    given = [name for name, is_there in named.items() if is_there]
    if len(given) != 1:
        told = f"{' and '.join(given)} were given" if given else "none was given"
        raise UsageError(f"learn from one of {', '.join(named)}; {told}")
    if (dataset or (heldout and traces)) and not grader:
        raise UsageError("--grader says how answers are judged: exact, numeric, math, judge, package.module:function")
    if dataset:
        return None, list(sets or ())
    if sessions and heldout:
        raise UsageError("--heldout goes with a dataset or --from-traces; sessions are tried on sessions")
    rules, rest = session_rules(sets or ())
    return StoredSource(rules, traces, follow, tuple(first or ()), heldout), rest


def session_rules(sets: Sequence[str]) -> tuple[SessionRules, list[str]]:
    """Return what `-s sessions.KEY=VALUE` says, and the other overrides. Raises UsageError."""
    from tfgrpo.sessions import SessionRules

    rules, rest = SessionRules(), []
    known = {f.name: type(getattr(rules, f.name)) for f in fields(rules)}
    for given in sets:
        if not given.startswith(TABLE):
            rest.append(given)
            continue
        name, _, value = given.removeprefix(TABLE).partition("=")
        if name not in known:
            raise UsageError(f"there is no setting {TABLE}{name}; there are: {', '.join(known)}")
        try:
            rules = replace(rules, **{name: known[name](value)})
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"-s {given}: {value!r} is not a number that {TABLE}{name} takes") from error
    return rules, rest


def learn_stored(wanted: Setup, source: StoredSource, *, json_: bool) -> None:
    """Learn from what is there, and print what came of it."""
    from tfgrpo.readers import read
    from tfgrpo.studies.learn_stored import learn_from_sessions, learn_from_traces

    wanted = replace(wanted, grader=wanted.grader or "exact")
    if source.traces is not None:
        found = asyncio.run(learn_from_traces(wanted, read(source.traces), source.heldout))
        _print(found, json_=json_)
    elif source.follow:
        asyncio.run(_follow(wanted, source, json_=json_))
    else:
        _print(asyncio.run(learn_from_sessions(wanted, source.rules, source.first)), json_=json_)


async def _follow(wanted: Setup, source: StoredSource, *, json_: bool) -> None:
    """Look again and again until a signal; a line for each thing that happens."""
    from tfgrpo.studies.learn_stored import learn_from_sessions

    stop = asyncio.Event()
    seen: dict[str, int] = {}
    first = source.first
    told: set[str] = set()
    with on_stop(stop.set):
        while not stop.is_set():
            found = await learn_from_sessions(wanted, source.rules, first, seen)
            first = ()
            for event in found.events:
                if event.kind != "open" and event.message not in told:
                    told.add(event.message)
                    o.print_json({"kind": event.kind, "message": event.message}) if json_ else typer.echo(event.message)
            try:
                await asyncio.wait_for(stop.wait(), FOLLOW_SECONDS)
            except TimeoutError:
                continue


def _print(found: Taught, *, json_: bool) -> None:
    if json_:
        o.print_json(found.summary)
        return
    if "sessions" in found.summary:
        typer.echo(f"{found.summary['sessions']} sessions of {found.summary['library']}@{found.summary['version']}")
    groups = found.summary["groups"]
    typer.echo(f"contrasted: {groups if isinstance(groups, int) else sum(groups.values())} kinds of tasks")
    for verdict in found.verdicts:
        for edit in verdict.edits:
            typer.echo(f"{verdict.decision}: {edit.text or edit.op.value}: {verdict.reason}")
    for event in found.events:
        typer.echo(event.message)
