"""Why a run learned nothing, or nothing that can be seen: the way from groups to lessons, and the likeliest causes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from tfgrpo.lessons.reasons import counted_reasons
from tfgrpo.types import Group, Step

MOST = 3
"""Causes that are told."""
EASY, HARD = 0.95, 0.05
"""Mean reward of a flat group that everybody solved, or nobody."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One thing that stood in the way."""

    share: float
    """How much of the loss it explains, in [0, 1]; the likeliest come first."""
    said: str
    remedy: str
    """A command, or what to add to the one that was run."""


@dataclass(frozen=True, slots=True)
class Funnel:
    """How many were left at each stage."""

    groups: int
    kept: int
    proposed: int
    checked: int
    """Edits that the checks let through."""
    tested: int
    accepted: int

    def __str__(self) -> str:
        """Return the way in one line."""
        return (
            f"{self.groups} groups -> {self.kept} disagreed -> {self.proposed} edits proposed -> {self.checked} passed "
            f"the checks -> {self.tested} tested by the gate -> {self.accepted} accepted"
        )


def needs_explaining(summary: Mapping[str, Any]) -> bool:
    """Whether a run ended without a lesson, or with an effect on held-out problems that is inside its noise."""
    heldout = summary["heldout"]
    if not summary["lessons"]:
        return True
    low, high = heldout["ci"] if heldout else (None, None)
    return low is not None and high is not None and low <= 0 <= high


def funnel(summary: Mapping[str, Any], steps: Sequence[Step]) -> Funnel:
    """Return how many groups and edits were left at each stage."""
    verdicts = [v for step in steps for v in step.verdicts if v.edits]
    refused = sum(len(v.edits) for v in verdicts if v.decision == "rejected" and not v.evidence)
    tested = sum(len(v.edits) for v in verdicts if v.evidence)
    proposed = summary["edits"]["proposed"]
    return Funnel(
        sum(summary["groups"].values()),
        summary["groups"]["kept"],
        proposed,
        max(tested, proposed - refused),
        tested,
        summary["edits"]["accepted"],
    )


def likely_causes(summary: Mapping[str, Any], steps: Sequence[Step]) -> tuple[Cause, ...]:
    """Return the likeliest causes of a run that learned nothing or little, each with its remedy."""
    found = [*_of_groups(summary, steps), *_of_edits(summary, steps), *_of_measuring(summary)]
    return tuple(sorted((c for c in found if c.share > 0.02), key=lambda c: -c.share)[:MOST])


def _of_groups(summary: Mapping[str, Any], steps: Sequence[Step]) -> Iterator[Cause]:
    groups = [group for step in steps for group in step.groups_P]
    if not groups:
        yield Cause(1.0, "no step was finished", "run the same command again; it goes on from here")
        return
    means = [mean for group in groups if group.status == "flat" and (mean := _mean(group)) is not None]
    easy, hard = sum(mean >= EASY for mean in means), sum(mean <= HARD for mean in means)
    yield Cause(
        easy / len(groups),
        f"{easy} of {len(groups)} groups were right throughout: there is nothing to learn from them",
        "give harder problems, or a smaller --model",
    )
    yield Cause(
        hard / len(groups),
        f"{hard} of {len(groups)} groups were wrong throughout: either too hard, or the grader finds no answer in what "
        "the model writes",
        "look at what is sent and how answers end: the same command with --dry-run; then --instructions, or "
        "--group-size 10",
    )
    failed = summary["groups"]["failed"]
    kinds = ", ".join(f"{n} {kind}" for kind, n in summary["failures"].items())
    first = next((s.failure.message for group in groups for s in group.scores_G if s.failure), "")
    yield Cause(
        failed / len(groups),
        f"{failed} of {len(groups)} groups could not be graded ({kinds}){f', for instance: {first}' if first else ''}",
        f"tfgrpo runs show {summary['run']}",
    )


def _of_edits(summary: Mapping[str, Any], steps: Sequence[Step]) -> Iterator[Cause]:
    edits, kept = summary["edits"], summary["groups"]["kept"]
    proposed = edits["proposed"]
    if kept and proposed < kept * 0.2:
        yield Cause(
            1 - proposed / kept,
            f"{kept} groups disagreed and only {proposed} edits came of them ({edits['malformed']} replies unreadable)",
            "let a stronger model write the lessons: --summarizer-model openai/STRONGER",
        )
    verdicts = [v for step in steps for v in step.verdicts if v.edits]
    unseen = (v for v in verdicts if v.decision == "rejected" and not v.evidence)
    refused = Counter(counted_reasons(v.reason for v in unseen for _ in v.edits))
    for why, count in refused.most_common(1):
        yield Cause(
            count / max(1, proposed),
            f"{count} of {proposed} edits were refused before any test: {why}",
            f"read them: tfgrpo lessons log {library_option(summary)}; see docs/evidence.md for what each check allows",
        )
    tested = Counter(v.decision for v in verdicts if v.evidence for _ in v.edits)
    total = max(1, tested.total())
    if tested["undecided"]:
        yield Cause(
            tested["undecided"] / total,
            f"{tested['undecided']} of {total} tested edits stayed undecided: too few held-out problems touch them",
            "more rows, --heldout 0.5, or longer tests: -s gate.options.nmax=256",
        )
    if tested["rejected"]:
        yield Cause(
            0.8 * tested["rejected"] / total,
            f"{tested['rejected']} of {total} tested edits did not help on held-out problems",
            "let a stronger model write the lessons: --summarizer-model openai/STRONGER",
        )


def _of_measuring(summary: Mapping[str, Any]) -> Iterator[Cause]:
    heldout = summary["heldout"]
    if not heldout:
        return
    if summary["lessons"] and heldout["diff"] is not None:
        yield Cause(
            0.7,
            f"{heldout['n']} held-out problems show only large effects",
            f"measure on more: tfgrpo eval FILE {library_option(summary)} -k 4 --control empty --grader G --model M",
        )
    if (heldout["before"] or 0) >= EASY:
        yield Cause(0.9, f"held-out reward was {heldout['before']:.2f} before learning", "give harder problems")


def library_option(summary: Mapping[str, Any]) -> str:
    """Return how the run's library is named to a command."""
    return f"--library {summary['library']}"


def _mean(group: Group) -> float | None:
    scored = [reward for reward in group.rewards_G if not math.isnan(reward)]
    return fmean(scored) if scored else None
