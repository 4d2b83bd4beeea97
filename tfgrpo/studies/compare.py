"""Methods side by side: the same problems, the same seeds, the same budget, and which differences exceed the noise.

Each method learns each seed in a database of its own, so that none profits from what another one paid for. What it
learned is measured on a test set that neither learning nor gate has seen; measuring is not part of the budget.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from experience_db import Store
from tfgrpo import api, datasets, stats
from tfgrpo import config as configuration
from tfgrpo.api import LearnResult
from tfgrpo.errors import EndpointError, TfgrpoError, UsageError
from tfgrpo.gates.factory import gate_for
from tfgrpo.graders.factory import grader_for
from tfgrpo.learning.record_step import step_summary
from tfgrpo.studies.decisions import over_run, over_seeds
from tfgrpo.types import Problem

NONE = "none"
"""The name under which no lessons at all are measured."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One method on one seed."""

    method: str
    seed: int
    rewards_P: tuple[float, ...] = ()
    """Mean test reward per problem; nan where it failed."""
    calls: int = 0
    """Calls that learning sent, those that an earlier execution of the same command paid for included."""
    tokens: int = 0
    lessons: int = 0
    version: int = 0
    curve: tuple[float | None, ...] = ()
    """Mean reward of the learning rollouts, step by step."""
    decided: Mapping[str, Any] = field(default_factory=dict)
    """What the method decided, see `Step.decided`."""
    stopped: str = ""
    """Which budget ended learning."""
    failed: str = ""
    """Why there is no result."""

    @property
    def reward(self) -> float:
        """Mean over the test problems that were scored; nan without any."""
        return _mean(self.rewards_P)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is compared, and how."""

    methods: tuple[str, ...]
    """The first one is what the others are compared with."""
    seeds: tuple[int, ...] = (0, 1, 2)
    folder: Path = Path("compare")
    """Where the databases go; the same command goes on from there."""
    test: Any = 0.3
    """A file, problems, or the fraction of the dataset that is kept back for testing."""
    heldout: Any = None
    k: int = 1
    """Rollouts per test problem."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A method against another one, paired by seed."""

    diff: float
    low: float
    high: float
    """Ends of the interval over seeds, widened for the number of methods compared; nan where it is not known. They lie
    in [-1, 1] where all rewards lie in [0, 1]."""
    exceeds: bool
    """Whether the interval excludes 0; never with fewer than three seeds, nor where all seeds differ by the same."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is said about one method."""

    method: str
    reward: float
    """Mean over seeds of the mean test reward."""
    ci: tuple[float, float]
    """95% bootstrap interval over the test problems."""
    calls: float
    tokens: float
    lessons: float
    """Means over seeds."""
    against_first: Difference | None
    against_none: Difference | None
    stopped: int
    """How many seeds a budget ended."""
    failed: str = ""
    decided: Mapping[str, Any] = field(default_factory=dict)
    """What it decided, means over seeds."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was found."""

    rows: tuple[Row, ...]
    cells: tuple[Cell, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)
    """The fields of `compare --json`."""


async def compare(
    problems: Any,
    plan: Plan,
    *,
    fields: Mapping[str, str] | None = None,
    on_cell: Callable[[Cell], None] | None = None,
    **asked: Any,
) -> Comparison:
    """Learn with every method and seed, and measure what each of them learned.

    Args:
        problems: a path, a named dataset, or problems.
        plan: methods, seeds, test set and folder.
        fields: which columns hold what, where they are called otherwise.
        on_cell: told of each result as it comes.
        asked: the arguments of `tfgrpo.learn` that say which model, grader and budget.

    Raises:
        UsageError: wrong arguments; nothing was done.
        EndpointError: the endpoint refuses every call.
    """
    if len(set(plan.methods)) != len(plan.methods) or not plan.methods:
        raise UsageError("name each method once; see `tfgrpo plugins --kind presets`")
    grader_for(asked["grader"])
    learning, test = _split(_problems(problems, fields), plan)
    for method in plan.methods:
        asking = api.setup(**_named(asked, method, 0, plan))
        gate_for(asking.config, () if str(plan.heldout) == "0" else test)
    began = time.monotonic()
    cells = []
    for seed in plan.seeds:
        for method in (NONE, *plan.methods):
            cells.append(await _cell(learning, test, method, seed, plan, asked))
            if on_cell is not None:
                on_cell(cells[-1])
    rows = tuple(row_of(method, cells, plan) for method in (NONE, *plan.methods))
    return Comparison(rows, tuple(cells), _summary(rows, cells, plan, asked, time.monotonic() - began))


def _split(problems: tuple[Problem, ...], plan: Plan) -> tuple[tuple[Problem, ...], tuple[Problem, ...]]:
    """Keep the test set apart from learning and gates, the same one for all seeds."""
    fraction = _number(plan.test)
    if fraction is None:
        learning, test = problems, _problems(plan.test)
        _apart(learning, test, "the dataset")
    elif 0 < fraction < 1:
        learning, test = datasets.split(problems, fraction, 0)
    else:
        raise UsageError(f"--test is a file or a fraction between 0 and 1, not {plan.test}")
    if plan.heldout is not None and _number(plan.heldout) is None:
        _apart(_problems(plan.heldout), test, "--heldout")
    return learning, test


def _apart(others: Sequence[Problem], test: Sequence[Problem], named: str) -> None:
    if shared := datasets.overlap(others, test):
        raise UsageError(f"--test shares problems with {named}: {len(shared)}, such as {shared[0].b!r}")


def _problems(given: Any, fields: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    return datasets.problems_from(given, fields, configuration.data_folder())


def _number(given: Any) -> float | None:
    try:
        return float(given)
    except (TypeError, ValueError):
        return None


def _named(asked: Mapping[str, Any], method: str, seed: int, plan: Plan) -> dict[str, Any]:
    own = {"method": "default" if method == NONE else method, "seed": seed, "run": f"{method}-{seed}"}
    return {**asked, **own, "db": plan.folder / f"{method}-{seed}.db"}


async def _cell(
    learning: Sequence[Problem], test: Sequence[Problem], method: str, seed: int, plan: Plan, asked: Mapping[str, Any]
) -> Cell:
    options = _named(asked, method, seed, plan)
    plan.folder.mkdir(parents=True, exist_ok=True)
    cell = Cell(method, seed)
    try:
        if method != NONE:
            cell = await _learned(learning, cell, plan, options)
        measured = {key: value for key, value in options.items() if not key.startswith("budget_")}
        # One way of measuring for all: what a preset says about evaluation must not decide between methods.
        measured |= {"method": "default", "library": f"default@{cell.version}" if cell.version else ""}
        found = await api.evaluate(test, k=plan.k, **measured)
    except EndpointError:
        raise
    except TfgrpoError as error:
        return replace(cell, failed=str(error))
    return replace(cell, rewards_P=found.evaluation.means_P)


async def _learned(learning: Sequence[Problem], cell: Cell, plan: Plan, options: Mapping[str, Any]) -> Cell:
    ended: list[LearnResult] = []
    async for _ in api.execute(api.setup(**options), learning, plan.heldout, on_end=ended.append):
        pass
    (result,) = ended
    with Store.open(options["db"], readonly=True) as store:
        paid = store.usage(next(r.id for r in store.runs() if r.kind == "learn")).values()
    return replace(
        cell,
        calls=sum(role.calls for role in paid),
        tokens=sum(role.prompt_tokens + role.completion_tokens for role in paid),
        lessons=len(result.library),
        version=result.library.version,
        curve=tuple(step_summary(step)["reward"] for step in result.steps),
        decided=over_run(step.decided for step in result.steps),
        stopped=result.summary["stopped"] or "",
    )


def row_of(method: str, cells: Sequence[Cell], plan: Plan) -> Row:
    """Sum up one method over its seeds."""
    own = [c for c in cells if c.method == method]
    done = [c for c in own if not math.isnan(c.reward)]
    failed = next((c.failed for c in own if c.failed), "")
    if not done:
        return Row(method, math.nan, (math.nan, math.nan), 0.0, 0.0, 0.0, None, None, 0, failed or "nothing was scored")
    means = [c.reward for c in done]
    ci = stats.bootstrap_mean([_mean(rewards) for rewards in zip(*(c.rewards_P for c in done), strict=True)])
    first = difference(method, plan.methods[0], cells, len(plan.methods))
    none = difference(method, NONE, cells, len(plan.methods))
    calls, tokens, lessons = (
        fmean(values) for values in zip(*((c.calls, c.tokens, c.lessons) for c in done), strict=True)
    )
    stopped, decided = sum(bool(c.stopped) for c in own), over_seeds([c.decided for c in done])
    return Row(method, fmean(means), ci, calls, tokens, lessons, first, none, stopped, failed, decided)


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if not math.isnan(v)]
    return fmean(known) if known else math.nan


def difference(method: str, other: str, cells: Sequence[Cell], methods: int) -> Difference | None:
    """Compare two methods over the seeds that both have; None for fewer than two, or a method with itself.

    Seeds are the unit, because a method may be lucky with a seed on all its test problems at once. The interval is
    Student's, at 95% over all methods together (Bonferroni). Over few seeds that reaches beyond what two means can
    differ by; it ends there where no reward of the comparison lies outside of [0, 1].
    """
    table = {(c.method, c.seed): c.reward for c in cells}
    pairs = [(table[m, s], table.get((other, s), math.nan)) for m, s in table if m == method]
    found = [a - b for a, b in pairs if not math.isnan(a - b)]
    if method == other or len(found) < 2:
        return None
    low, high = stats.mean_interval(found, level=1 - 0.05 / max(methods - 1, 1))
    if not math.isnan(low) and _in_unit(cells):
        low, high = max(low, -1.0), min(high, 1.0)
    return Difference(fmean(found), low, high, len(found) > 2 and (low > 0 or high < 0))


def _in_unit(cells: Sequence[Cell]) -> bool:
    """Whether every reward that was measured lies in [0, 1]."""
    return all(0.0 <= r <= 1.0 for c in cells for r in c.rewards_P if not math.isnan(r))


def _summary(
    rows: Sequence[Row], cells: Sequence[Cell], plan: Plan, asked: Mapping[str, Any], seconds: float
) -> dict[str, Any]:
    budgets = {k.removeprefix("budget_"): v for k, v in asked.items() if k.startswith("budget_") and v is not None}
    return {
        "model": asked["model"],
        "seeds": list(plan.seeds),
        "test_problems": max((len(c.rewards_P) for c in cells), default=0),
        "k": plan.k,
        "budget": budgets,
        "reference": plan.methods[0],
        "methods": [_finite(asdict(row)) for row in rows],
        "alike": [list(names) for names in indistinguishable(cells)],
        "cells": [{**_finite(asdict(replace(c, rewards_P=()))), "reward": _finite(c.reward)} for c in cells],
        "seconds": round(seconds, 3),
    }


def _finite(value: Any) -> Any:
    """Plain JSON values: nan becomes null."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items() if key != "rewards_P"}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def table(rows: Sequence[Row], reference: str) -> str:
    """Return the rows as a Markdown table."""
    head = [
        "method",
        "test reward",
        "95% interval",
        f"against {reference}",
        "against no lessons",
        "lessons",
        "calls",
        "tokens",
    ]
    lines = [head, ["---"] * len(head)]
    for row in rows:
        if math.isnan(row.reward):
            lines.append([row.method, f"no result: {_short(row.failed)}", *[""] * (len(head) - 2)])
            continue
        counts = [f"{row.lessons:.1f}", f"{row.calls:,.0f}", f"{row.tokens:,.0f}"]
        interval = f"[{row.ci[0]:.3f}, {row.ci[1]:.3f}]"
        if math.isnan(row.ci[0]):
            interval = "not known: the same on every test problem"
        versus = [_told(row.against_first), _told(row.against_none)]
        lines.append([row.method, f"{row.reward:.3f}", interval, *versus, *counts])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def notes(found: Comparison) -> tuple[str, ...]:
    """Return what a reader of the table must know: what exceeds the noise, what is the same, what was cut or failed."""
    reference, seeds = found.summary["reference"], len(found.summary["seeds"])
    clear = [r.method for r in found.rows if r.against_first and r.against_first.exceeds and r.method != NONE]
    useful = [r.method for r in found.rows if r.against_none and r.against_none.exceeds]
    said = [
        f"Beyond the noise (*): {', '.join(clear) or 'no method'} against {reference}, "
        f"{', '.join(useful) or 'no method'} against no lessons. Differences are paired by seed; their intervals are "
        "Student's over seeds, widened for the number of methods"
        f"{', and end at -1 and 1, since all rewards lie in [0, 1]' if _in_unit(found.cells) else ''}.",
        "The 95% interval of a method is a bootstrap over test problems, and says nothing about other seeds.",
    ]
    if seeds < 3:
        said.append(f"With {seeds} seed{'s' if seeds > 1 else ''} nothing can exceed the noise; take at least 3.")
    if same := indistinguishable(found.cells):
        said.append(f"The same on every test problem with every seed: {'; '.join(map(' = '.join, same))}.")
    if stopped := [f"{r.method} {r.stopped} of {seeds}" for r in found.rows if r.stopped]:
        said.append(f"Ended by the budget: {', '.join(stopped)}.")
    elif not found.summary["budget"]:
        said.append("No budget was set: the methods spent what they spent; --budget-tokens makes them equal.")
    for row in found.rows:
        failed = [c for c in found.cells if c.method == row.method and c.failed]
        if failed and not math.isnan(row.reward):
            said.append(f"{row.method} has no result for {len(failed)} of {seeds} seeds: {_short(failed[0].failed)}")
    return tuple(said)


def indistinguishable(cells: Sequence[Cell]) -> tuple[tuple[str, ...], ...]:
    """Return the methods that no test problem tells apart with any seed: what differs between them has no hold here."""
    found: dict[Any, list[str]] = {}
    for method in dict.fromkeys(c.method for c in cells if c.method != NONE):
        own = sorted((c.seed, c.lessons, c.rewards_P) for c in cells if c.method == method and c.rewards_P)
        found.setdefault(tuple(own), []).append(method)
    return tuple(tuple(names) for own, names in found.items() if own and len(names) > 1)


def _told(d: Difference | None) -> str:
    if d is None:
        return ""
    if math.isnan(d.low):
        return f"{d.diff:+.3f} (the same for every seed, so its noise is not known)"
    return f"{d.diff:+.3f} [{d.low:+.3f}, {d.high:+.3f}]{' *' if d.exceeds else ''}"


def _short(text: str) -> str:
    return re.sub(r"[|\n]", " ", text)[:100]


def preset_list(text: str) -> tuple[str, ...]:
    """Read `a,b,c`, or `all` for every preset, ours first; raises UsageError for a name that is none."""
    names = [n.strip() for n in text.split(",") if n.strip()]
    if names == ["all"]:
        names = ["default", *(n for n in configuration.preset_names() if n != "default")]
    for name in names:
        configuration.preset_path(name)
    return tuple(names)
