"""What a finished run says about itself: the object behind `learn --json`, the run's record and the printed page."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo import datasets
from tfgrpo.backends.metered import printed_usage, total_usage
from tfgrpo.gates import OpenGate
from tfgrpo.gates.alpha import Alpha
from tfgrpo.learning.heldout_comparison import compare_heldout
from tfgrpo.learning.record_step import count_each, step_failures, step_summary
from tfgrpo.learning.run import Run
from tfgrpo.lessons.review import notices
from tfgrpo.types import Group, Rollout, Score, Step

NOT_KEPT = Rollout("", 0)
"""Stands in a step that was shed for each of its rollouts."""
NO_SCORE = Score(None)


def summarize_run(run: Run, steps: Sequence[Step], seconds: float) -> dict[str, Any]:
    """Return the fields of DESIGN 4.1 (`learn --json`) for a run that ended.

    `usage` is what the whole run consumed, calls that the journal replayed included: they were paid for once.
    """
    per_step = [step_summary(step) for step in steps]
    statuses = count_each(g.status.value for s in steps for g in s.groups_P)
    decided = count_each(v.decision for s in steps for v in s.verdicts for _ in v.edits)
    rewards = [s["reward"] for s in per_step if s["reward"] is not None]
    every = [f for s in steps for f in step_failures(s)]
    usage = total_usage(run.tally)
    return {
        "run": run.name,
        "library": run.library.name,
        "version": steps[-1].version_after if steps else run.library.version,
        "steps": len(steps),
        "problems": len(run.learning),
        "rollouts": sum(s["rollouts"] for s in per_step),
        "groups": {name: statuses.get(name, 0) for name in ("kept", "flat", "failed", "filtered")},
        "edits": {
            "proposed": sum(s["edits"]["proposed"] for s in per_step),
            **{name: decided.get(name, 0) for name in ("accepted", "rejected", "undecided", "untested")},
            "malformed": sum(f.kind == "malformed" for f in every),
        },
        "lessons": len(run.store.library(run.library.name, steps[-1].version_after if steps else run.library.version)),
        "calls": {role: {"new": t.new, "replayed": t.replayed} for role, t in sorted(run.tally.items())},
        "usage": printed_usage(usage),
        "reward": {"first": rewards[0] if rewards else None, "last": rewards[-1] if rewards else None},
        "heldout": compare_heldout(run),
        "false_lessons": false_lessons(run, steps),
        "outlook": run_detectable_effect_text(run),
        "failures": count_each(f.kind.value for f in every),
        "warnings": [
            *harm_warnings(steps),
            *notices(run.store, run.library.name),
            *unseeded_warning(run),
            *left_out(run),
            *([run.unranked] if run.unranked else []),
        ],
        "block": run.block,
        "stopped": run.stopped or None,
        "seconds": round(seconds, 3),
    }


def without_contents(step: Step) -> Step:
    """Return a step without what its rollouts said, for runs so long that this would fill the memory.

    Numbers, statuses, verdicts and failures stay as they are; the rollouts are in the store.
    """
    return dataclasses.replace(step, groups_P=tuple(map(_numbers, step.groups_P)))


def _numbers(group: Group) -> Group:
    return dataclasses.replace(
        group,
        rollouts_G=(NOT_KEPT,) * len(group.rollouts_G),
        scores_G=tuple(score if score.failure else NO_SCORE for score in group.scores_G),
        advantages_G=(),
        grader_advantages_G=(),
        grams=(),
    )


def unseeded_warning(run: Run) -> list[str]:
    """Return what a reader of the gate's bill should know where an endpoint takes no seeds."""
    if isinstance(run.gate, OpenGate) or not run.unseeded():
        return []
    return [
        "the endpoint takes no seed, so the two sides of a gate's pair met different noise: its verdicts hold, but it "
        "needed more rollouts for them"
    ]


def left_out(run: Run) -> list[str]:
    """Return how many held-out problems have no score, and what of the bill was counted here."""
    guessed = total_usage(run.tally).estimated_tokens
    counted = (
        f"{guessed:,} tokens of the bill are estimates, by the length of the texts: the endpoint did not count them"
    )
    return [*([run.left_out] if run.left_out else []), *([counted] if guessed else [])]


def harm_warnings(steps: Sequence[Step]) -> list[str]:
    """Return what a check after an epoch found against the library as a whole: verdicts without an edit."""
    return [v.reason for step in steps for v in step.verdicts if not v.edits]


def for_record(run: Run, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Return `summary` as it is stored with the run: new calls are those the whole run made, not its last execution."""
    made = {role: usage.calls for role, usage in run.store.usage(run.id).items()}
    calls = {}
    for role, entry in summary["calls"].items():
        asked = entry["new"] + entry["replayed"]
        new = min(made.get(role, 0), asked)
        calls[role] = {"new": new, "replayed": asked - new}
    return {**summary, "calls": calls}


def run_detectable_effect_text(run: Run) -> str:
    """Return one sentence on what effects this run's problems can show; '' where no gate measures."""
    if isinstance(run.gate, OpenGate) or not run.pools.proving or run.config.search.kind:
        return ""
    return datasets.outlook(run.pools)


def false_lessons(run: Run, steps: Sequence[Step]) -> dict[str, Any] | None:
    """Return how many false lessons the gate's error rule lets one expect; None where the gate has no such rule.

    With a fixed level per test that is the level times the tests: the bound if every edit tested were useless. Where
    the rule bounds the false discovery rate, it is that rate times the lessons accepted. `few` of those accepted were
    proved on so few problems that it holds for these alone.
    """
    spent = getattr(run.gate, "alpha", None)
    if not isinstance(spent, Alpha):
        return None
    of = spent.accepted if spent.rule == "e-lond" else spent.tests
    entered = [v.evidence for step in steps for v in step.verdicts if v.decision == "accepted"]
    few = sum(evidence[0].detail.get("p_beyond") is not None for evidence in entered if evidence)
    rule = {"rule": spent.rule, "alpha": spent.alpha, "tests": spent.tests, "at_most": round(spent.alpha * of, 3)}
    return rule | {"few": few}
