"""What `learn` and `evaluate` give back in Python: short as text, tables in a notebook, records to go on with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experience_db import Library, frames
from tfgrpo.errors import UsageError
from tfgrpo.evaluation.measure import Evaluation
from tfgrpo.learning.record_step import step_summary
from tfgrpo.types import Step

if TYPE_CHECKING:
    from tfgrpo.report.plot import Plot


@dataclass(frozen=True, slots=True)
class LearnResult:
    """What a finished run left behind."""

    library: Library
    steps: tuple[Step, ...]
    """All steps; after 5,000 rollouts without the rollouts' content, which is in the store."""
    summary: dict[str, Any]
    """The fields of `learn --json`."""

    def __repr__(self) -> str:
        """Return one line: the library, what it did on held-out problems, what it cost."""
        calls = sum(role["new"] + role["replayed"] for role in self.summary["calls"].values())
        return (
            f"LearnResult({self.library!r}, held-out {change_text(self.summary['heldout'])}, {len(self.steps)} steps, "
            f"{calls} calls)"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the lessons under the measured effect, the funnel beside it."""
        edits, groups = self.summary["edits"], self.summary["groups"]
        note = (
            f"held-out {change_text(self.summary['heldout'])}; groups: {counts_text(groups)}; "
            f"edits: {counts_text(edits)}; {self.summary['seconds']:.0f} s"
        )
        title = f"Run {self.summary['run']}: library {self.library.name!r}, version {self.library.version}"
        return frames.html_table(title, ("id", "lesson"), [(x.id, x.text) for x in self.library], note)

    def records(self, what: str = "steps") -> list[dict[str, Any]]:
        """Return plain rows: one for each of the `steps`, `groups`, `rollouts`, `edits` or `lessons`.

        Raises:
            UsageError: another word.
        """
        if what == "lessons":
            return self.library.records()
        if what not in RECORDS:
            raise UsageError(f"records({what!r}): choose one of {', '.join((*RECORDS, 'lessons'))}")
        return [row for step in self.steps for row in RECORDS[what](step)]

    def to_pandas(self, what: str = "steps") -> Any:
        """Return `records(what)` as a pandas DataFrame; raises ImportError where pandas is not installed."""
        return frames.to_pandas(self.records(what))

    def to_polars(self, what: str = "steps") -> Any:
        """Return `records(what)` as a polars DataFrame; raises ImportError where polars is not installed."""
        return frames.to_polars(self.records(what))

    def plot(self, file: str | Path | None = None) -> Plot:
        """Return the learning curve of the report; a notebook shows it, `file` (.svg, .png, .json) also keeps it."""
        from tfgrpo.report import plot  # noqa: PLC0415 - a picture is drawn where somebody asks

        drawn = plot.learning_curve(self.steps, self.summary["heldout"])
        if file is not None:
            drawn.save(file)
        return drawn


@dataclass(frozen=True, slots=True)
class EvalResult:
    """What an evaluation showed."""

    summary: dict[str, Any]
    """The fields of `eval --json`."""
    evaluation: Evaluation
    notes: tuple[str, ...] = ()
    """What a reader of the figures should know: problems that taught the library, earlier looks at the same dataset."""

    def __repr__(self) -> str:
        """Return one line: what was measured, its mean and interval."""
        s = self.summary
        return (
            f"EvalResult({s['dataset']}, library {s['library']!r} version {s['version']}, {s['model']}: "
            f"mean@{s['k']} {number(s['mean'])} {interval(s['ci'])}, n={self.evaluation.scored})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the mean, and each control beside it."""
        s = self.summary
        rows: list[tuple[object, ...]] = [("library", s["mean"], interval(s["ci"]), None, None)]
        rows += [
            (name, c.get("mean"), interval(c.get("ci")), c.get("diff"), interval(c.get("diff_ci")))
            for name, c in s["controls"].items()
        ]
        head = ("", f"mean@{s['k']}", "95%", "library minus control", "95%")
        title = f"{s['dataset']}, library {s['library']!r} version {s['version']}, {s['model']}, n={s['problems']}"
        return frames.html_table(title, head, rows, "; ".join(self.notes))

    def records(self) -> list[dict[str, Any]]:
        """Return a plain row for each problem: id, question, reference, mean reward, rollouts with a score."""
        return self.evaluation.records()

    def to_pandas(self) -> Any:
        """Return `records()` as a pandas DataFrame; raises ImportError where pandas is not installed."""
        return frames.to_pandas(self.records())

    def to_polars(self) -> Any:
        """Return `records()` as a polars DataFrame; raises ImportError where polars is not installed."""
        return frames.to_polars(self.records())


def number(value: float | None) -> str:
    """Return a number with three digits, a dash where there is none."""
    return "-" if value is None else f"{value:.3f}"


def interval(ends: Sequence[float | None] | None) -> str:
    """Return both ends of an interval; '' where there is none."""
    return f"[{number(ends[0])}, {number(ends[1])}]" if ends else ""


def change_text(heldout: Mapping[str, Any] | None) -> str:
    """Return held-out reward before and after, with the difference and its interval."""
    if not heldout:
        return "not measured"
    ends = [None if end is None else f"{end:+.3f}" for end in heldout["ci"]]
    diff = "" if heldout["diff"] is None else f" ({heldout['diff']:+.3f} [{ends[0] or '-'}, {ends[1] or '-'}])"
    return f"{number(heldout['before'])} -> {number(heldout['after'])}{diff}"


def counts_text(table: Mapping[str, int]) -> str:
    """Return counts in words, without those that are 0."""
    return ", ".join(f"{n} {name}" for name, n in table.items() if n) or "none"


def _step(step: Step) -> list[dict[str, Any]]:
    told = step_summary(step)
    flat = {f"{kind}_{name}": n for kind in ("groups", "edits") for name, n in told[kind].items()}
    kept = {"step": step.index, "epoch": step.epoch, "reward": told["reward"], "rollouts": told["rollouts"]}
    return [{**kept, "version_before": step.version_before, "version_after": step.version_after, **flat}]


def _groups(step: Step) -> list[dict[str, Any]]:
    rows = []
    for group in step.groups_P:
        scored = [reward for reward in group.rewards_G if not math.isnan(reward)]
        mean = sum(scored) / len(scored) if scored else None
        rows.append(
            {"step": step.index, "problem": group.problem.id, "status": group.status.value, "version": group.version,
             "reward": mean, "scored": len(scored), "rollouts": len(group.rollouts_G)}
        )  # fmt: skip
    return rows


def _rollouts(step: Step) -> list[dict[str, Any]]:
    rows = []
    for group in step.groups_P:
        for place, (rollout, reward) in enumerate(zip(group.rollouts_G, group.rewards_G, strict=True)):
            failure = rollout.failure.kind.value if rollout.failure else None
            scored = None if math.isnan(reward) else reward
            rows.append(
                {"step": step.index, "problem": group.problem.id, "rollout": place, "reward": scored,
                 "answer": rollout.answer, "failure": failure}
            )  # fmt: skip
    return rows


def _edits(step: Step) -> list[dict[str, Any]]:
    return [
        {"step": step.index, "decision": verdict.decision, "op": edit.op.value, "text": edit.text,
         "reason": verdict.reason}
        for verdict in step.verdicts
        for edit in verdict.edits
    ]  # fmt: skip


RECORDS = {"steps": _step, "groups": _groups, "rollouts": _rollouts, "edits": _edits}
