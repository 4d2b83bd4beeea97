"""Progress of a run as plain lines on stderr, so that logs and terminals read the same."""

from __future__ import annotations

import math
import time
from statistics import fmean
from types import TracebackType
from typing import Self

import typer

from tfgrpo import search
from tfgrpo.backends.limited import Ledger
from tfgrpo.learning.forecast import Plan
from tfgrpo.learning.record_step import step_summary
from tfgrpo.learning.run import Run
from tfgrpo.learning.summary import harm_warnings, run_detectable_effect_text
from tfgrpo.lessons.dataset_vocabulary import vocabulary_notice
from tfgrpo.types import Step, Usage

FEW = 5
"""Groups after which the first estimate is made."""
WIDTH = 20
"""Characters of a bar."""


class ProgressLines:
    """One line when a run starts, one with an estimate after its first groups, one per step."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._began = time.monotonic()
        self._run: Run | None = None
        self._estimated = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, run: Run) -> None:
        """Say what is about to happen."""
        self._run = run
        if run.progress is not None:
            run.progress.on_group = self._group
        size = run.config.rollout.group_size
        self.say(
            f"run {run.name}: {len(run.learning)} problems to learn from, {len(run.heldout)} held out, "
            f"{size} rollouts each, {run.config.epochs} epochs, library {run.library.name!r} from version "
            f"{run.library.version}"
        )
        if run.continuation:
            self.say(run.continuation)
        if said := vocabulary_notice(run.teacher.public):
            self.say(said)
        if can := run_detectable_effect_text(run):
            self.say(can)
        if run.rules.review:
            self.say("lessons that rest on tool output will wait for `tfgrpo lessons review`; --no-review lets them in")

    def step(self, step: Step) -> None:
        """Report one committed step."""
        s = step_summary(step)
        groups = ", ".join(f"{n} {name}" for name, n in s["groups"].items())
        edits = ", ".join(f"{n} {name}" for name, n in s["edits"].items())
        failed = ", ".join(f"{n} {name}" for name, n in s["failures"].items())
        reward = "-" if s["reward"] is None else f"{s['reward']:.3f}"
        self.say(
            f"step {step.index + 1} (epoch {step.epoch + 1}): reward {reward}; groups: {groups}; edits: {edits}; "
            f"version {step.version_before} -> {step.version_after}" + (f"; failures: {failed}" if failed else "")
        )
        if step.monitor:
            self.say(
                "  watched: " + ", ".join(f"{name} {monitor_in_words(value)}" for name, value in step.monitor.items())
            )
        for warning in harm_warnings([step]):
            self.say(f"warning: {warning}")
        if step.index == 0 and self._run and self._run.progress and not self._run.stopped:
            self._estimate()

    @property
    def interrupted(self) -> bool:
        """Whether an interrupt cut the run short."""
        run = self._run
        return bool(run and run.stopped and run.progress and run.progress.stopped)

    def interrupt(self) -> None:
        """Let calls in flight end; the second time raise KeyboardInterrupt."""
        progress = self._run.progress if self._run else None
        if progress is None or progress.stopped:
            raise KeyboardInterrupt
        progress.stop("interrupted")
        self.say(f"interrupted: {progress.in_flight} calls in flight may end; interrupt again to stop now")

    def close(self) -> None:
        """End the display."""

    def say(self, text: str) -> None:
        """Print a line."""
        if not self._quiet:
            typer.echo(self.timed(text), err=True)

    def timed(self, text: str) -> str:
        """Return a line with the time since the start."""
        return f"[{time.monotonic() - self._began:6.1f}s] {text}"

    def facts(self) -> list[tuple[str, str]]:
        """Return what a live display shows, as names and values."""
        run = self._run
        if run is None or run.progress is None:
            return []
        progress, plan = run.progress, plan_of(run)
        groups, steps, done = plan.groups, plan.steps, progress.groups
        ahead = progress.estimate(plan)
        left = "unknown" if ahead is None or ahead.seconds is None else duration(ahead.seconds)
        phase = f"{progress.phase()}, step {min(progress.steps + 1, steps)} of {steps}"
        return [
            ("phase", "stopping" if progress.stopped else phase),
            ("reward", reward_in_words(run)),
            ("problems", f"{done.total():,} of {groups:,}"),
            ("groups", f"{done['kept']:,} kept, {done['flat']:,} flat, {done['failed']:,} failed"),
            ("calls", f"{progress.calls:,} answered, {progress.in_flight} in flight of {progress.limit} allowed"),
            ("tokens", tokens(progress.usage)),
            *([("budget", budget_in_words(progress.ledger))] if progress.ledger.used() else []),
            ("time", f"{duration(time.monotonic() - self._began)}, about {left} left"),
        ]

    def _group(self) -> None:
        run = self._run
        if run and run.progress and not self._estimated:
            enough = min(FEW, run.config.batch_size, len(run.learning))
            self._estimated = run.progress.groups.total() >= enough
            if self._estimated:
                self._estimate()

    def _estimate(self) -> None:
        assert self._run is not None
        assert self._run.progress is not None
        ahead = self._run.progress.estimate(plan_of(self._run))
        if ahead is not None and ahead.seconds is not None:
            beside = f" ({ahead.low} to {ahead.high})" if ahead.guessed else ""
            self.say(
                f"estimate: about {ahead.calls} calls in all{beside}; {tokens(ahead.usage)}; "
                f"{duration(ahead.seconds)} left"
            )


def reward_in_words(run: Run) -> str:
    """Return the mean reward of the step under way with a bar, and what the held-out problems had before."""
    now = run.progress.reward if run.progress else None
    told = "none yet" if now is None else f"{now:.3f} {bar(run.range.unit(now))}"
    before = [reward for reward in run.before if not math.isnan(reward)]
    return told + (f" (held-out before: {fmean(before):.3f})" if before else "")


def bar(share: float) -> str:
    """Return a share of 1 as a bar."""
    filled = round(share * WIDTH)
    return f"[{'#' * filled}{'.' * (WIDTH - filled)}]"


def budget_in_words(ledger: Ledger) -> str:
    """Return what is used of each part of a budget."""
    parts = ledger.used()
    return ", ".join(f"{used:,.6g} of {limit:,.6g} {name} ({used / limit:.0%})" for name, used, limit in parts if limit)


def monitor_in_words(value: object) -> str:
    """Return what a method watches as words."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def plan_of(run: Run) -> Plan:
    """Return what a run has ahead of it in all, as far as it is fixed."""
    if run.config.search.kind:
        groups, steps, heldout = search.planned_work(run)
    else:
        batches = -(-len(run.learning) // run.config.batch_size)
        groups, steps = len(run.learning) * run.config.epochs, batches * run.config.epochs
        heldout = len(run.heldout)
    return Plan(
        groups,
        run.config.rollout.group_size,
        steps,
        heldout,
        summaries=run.teacher.summaries == "always",
        consolidates=run.teacher.consolidate in ("batch", "each"),
        gated=run.config.gate.kind != "open" and not run.config.search.kind,
    )


def tokens(usage: Usage) -> str:
    """Return usage in words."""
    usd = "price unknown" if usage.usd is None else f"{usage.usd:.2f} USD"
    return f"{usage.prompt_tokens:,} prompt and {usage.completion_tokens:,} completion tokens, {usd}"


def duration(seconds: float) -> str:
    """Return seconds as people say them."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"
