"""The shortest time in which the calls of a recorded job fit the slots, found by list scheduling in several orders."""

from __future__ import annotations

import heapq
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from support.fast_server import latency

SLOTS = 128
MEDIAN, SIGMA = 0.5, 0.8


@dataclass(frozen=True)
class Call:
    """One call of the job, for the simulation."""

    seconds: float
    problem: str
    stage: int
    """0 rollouts, 1 contrast, 2 consolidation."""
    step: int


def best_schedule(db: Path, join: bool) -> float:
    """Return the shortest time in which the job's calls fit SLOTS slots, in seconds: the best of several priorities.

    A contrast waits for its group, a consolidation for its batch's contrasts, a batch for the consolidation before it.
    """
    connection = sqlite3.connect(db)
    step_of = dict(connection.execute("SELECT json_extract(problem, '$.question'), step FROM groups"))
    calls, steps_merged = [], 0
    for role, request in connection.execute("SELECT role, request FROM calls ORDER BY rowid"):
        told = json.loads(request)
        text = told["messages"][-1]["content"]
        seconds = latency(text, told["sampling"]["seed"] or 0, MEDIAN, SIGMA)
        if role == "consolidate":
            calls.append(Call(seconds, "", 2, steps_merged))
            steps_merged += 1
            continue
        problem = next((q for q in step_of if q in text), "")
        calls.append(Call(seconds, problem, int(role != "rollout"), step_of.get(problem, 0)))
    connection.close()
    steps = sorted(set(step_of.values()))
    return round(sum(_batch_seconds([c for c in calls if c.step == step], join) for step in steps), 3)


def _batch_seconds(calls: list[Call], join: bool) -> float:
    after = {c.problem: c.seconds for c in calls if c.stage == 1}
    rollouts: list[tuple[str, float]] = [(c.problem, c.seconds) for c in calls if c.stage == 0]
    if join:
        together = dict.fromkeys(problem for problem, _ in rollouts)
        rollouts = [(p, max(s for q, s in rollouts if q == p)) for p in together]
    orders = [
        lambda r: -(r[1] + after.get(r[0], 0.0)),
        lambda r: -max(s for q, s in rollouts if q == r[0]) - after.get(r[0], 0.0),
        lambda r: r[0],
    ]
    done = min(_simulated(sorted(rollouts, key=order), after) for order in orders)
    return done + sum(c.seconds for c in calls if c.stage == 2)


def _simulated(rollouts: list[tuple[str, float]], after: dict[str, float]) -> float:
    """List scheduling; contrasts go before rollouts, because their group is already late."""
    free, ready, last = [0.0] * SLOTS, [], 0.0
    left = {p: sum(q == p for q, _ in rollouts) for p, _ in rollouts}
    group_end: dict[str, float] = {}
    queue = iter(rollouts)
    following = next(queue, None)
    while following or ready:
        slot = heapq.heappop(free)
        if ready and (following is None or ready[0][0] <= slot):
            at, seconds = heapq.heappop(ready)
            end = max(slot, at) + seconds
        else:
            assert following is not None
            problem, seconds = following
            end = slot + seconds
            group_end[problem] = max(group_end.get(problem, 0.0), end)
            left[problem] -= 1
            if not left[problem] and problem in after:
                heapq.heappush(ready, (group_end[problem], after[problem]))
            following = next(queue, None)
        last = max(last, end)
        heapq.heappush(free, end)
    return last
