"""What a command goes on from, or why it starts anew although a run like it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experience_db import Run, Store

ONLY_SPEED = ("engine.", "budget.", "heldout_problems")
"""Settings that make no other run, and what is too long to tell."""
BUT = ("engine.overlap",)
"""Settings among them that do."""
MOST = 4
"""Differences that are named."""


def continuation(store: Store, run: Run, *, resumed: str, named: bool) -> str:
    """Return a sentence on what `run`, which was just started, goes on from; '' when there is nothing to say.

    Args:
        store: where the runs are.
        run: the run as it was started.
        resumed: the status that it was left with; '' where it was not there before.
        named: whether the user gave it a name; else runs of the same library are compared that have not finished.
    """
    if resumed:
        calls = sum(usage.calls for usage in store.usage(run.id).values())
        if resumed == "finished":
            return f"run {run.id} has finished before: its {calls} calls answer again; another --seed makes another run"
        return f"goes on with run {run.id}: {calls} calls are recorded and will not be made again"
    earlier = [r for r in store.runs() if r.kind == run.kind and r.id != run.id and _alike(r, run, named)]
    if not earlier:
        return ""
    last = earlier[-1]
    found = differences(last.config, run.config)
    if last.dataset != run.dataset:
        found.append("the dataset is another one")
    if last.base_version != run.base_version and last.library == run.library:
        found.append(f"the library is at version {run.base_version}, not {last.base_version}")
    found = found or ["the prompts or the held-out problems changed"]
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return f"starts anew, not from run {last.id}: {'; '.join(found[:MOST])}{more}"


def _alike(other: Run, run: Run, named: bool) -> bool:
    return other.name == run.name if named else other.library == run.library and other.status != "finished"


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Return in words which settings differ, without those that only decide how fast a run is."""
    before, after = dotted_keys(old), dotted_keys(new)
    return [
        f"{key} was {before.get(key, 'not set')} and is {after.get(key, 'not set')}"
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key) and (key in BUT or not key.startswith(ONLY_SPEED))
    ]


def dotted_keys(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested table with dotted keys."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= dotted_keys(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return found
