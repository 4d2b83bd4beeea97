"""Run a pinned recipe and say whether it came out as expected: inside, outside, or too few problems to tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfgrpo import api, datasets, stats
from tfgrpo import config as configuration
from tfgrpo.api import LearnResult, setup
from tfgrpo.datasets.named import NAMED_SETS
from tfgrpo.errors import BudgetReached, UsageError
from tfgrpo.studies import dry_run
from tfgrpo.studies.estimate import CostEstimate, estimate_cost
from tfgrpo.studies.recipe_file import EvalPart, Recipe, as_arguments, settings
from tfgrpo.types import Problem, Step

INSIDE, OUTSIDE, TELL_NOT = "inside", "outside", "too few problems to tell"
FEW = 4
"""Problems of each set in a rehearsal."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be run: the problems, the settings and the price."""

    recipe: Recipe
    learning: tuple[Problem, ...]
    tests_P: tuple[tuple[Problem, ...], ...]
    estimate: CostEstimate
    asked: Mapping[str, Any]
    """Arguments of the Python API."""
    pinned: bool = True
    """False where problems, model or settings were changed: the figures are then not the recipe's."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one test showed."""

    test: EvalPart
    n: int
    figure: float
    low: float
    high: float
    """Ends of its 95% interval over problems."""
    verdict: str
    summary: Mapping[str, Any]
    """The fields of `eval --json`."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """A finished recipe."""

    plan: Plan
    learned: Mapping[str, Any]
    """The fields of `learn --json`."""
    outcomes: tuple[Outcome, ...]

    @property
    def verdict(self) -> str:
        """`outside` if any test is, `inside` if all are."""
        found = {outcome.verdict for outcome in self.outcomes}
        return OUTSIDE if OUTSIDE in found else TELL_NOT if TELL_NOT in found else INSIDE


def plan_recipe(
    recipe: Recipe,
    *,
    problems: int | None = None,
    rehearse: bool = False,
    only_price: bool = False,
    model: str = "",
    judge: str = "",
    **more: Any,
) -> Plan:
    """Load and check everything a recipe needs; nothing is asked of any model.

    Args:
        recipe: what to run.
        problems: at most so many of each set, and one rollout per test problem.
        rehearse: play it with a model that only pretends, on FEW problems and one epoch; datasets that are not here
            are played too.
        only_price: it will not be run; datasets that are not here are counted as they should be.
        model: asked in place of the recipe's.
        judge: asked in place of `grader.model`.
        more: further arguments of `api.setup`, such as `base_url` or `overrides`.

    Raises:
        UsageError: a dataset is missing, or is not the one that the recipe pins.
    """
    whole, *sets = _loaded(recipe, pretend=rehearse or only_price)
    notes = [f"{p} has no hash on record: whether it is the right one, nobody can tell" for p in _unpinned(recipe)]
    few = FEW if rehearse else problems
    config = settings(recipe)
    wanted = min(x for x in (config.limit, few and _with_heldout(few, config.heldout), len(whole)) if x)
    drawn = datasets.limited(whole, wanted, config.seed)
    tests = tuple(each[:few] for each in sets)
    for test, each in zip(recipe.tests, tests, strict=True):
        if shared := datasets.overlap(drawn, each):
            raise UsageError(
                f"{len(shared)} problems of {test.dataset} are among those to learn from, such as {shared[0].b!r}"
            )
    if few:
        recipe = replace(recipe, tests=tuple(replace(test, k=1) for test in recipe.tests))
    asked: dict[str, Any] = {
        "method": recipe.learn.method,
        "library": recipe.learn.library,
        **as_arguments(recipe),
        **more,
    }
    if judge:
        asked["grader__model"] = judge
    if rehearse:
        model = dry_run.register_model((*drawn, *(p for each in tests for p in each)))
        asked = _staged(asked, model, config.environment.tools)
    asked |= {"model": model or recipe.learn.model, "grader": recipe.learn.grader}
    changed = bool(few or model or judge or more.get("overrides"))
    if changed and not rehearse:
        notes.append("problems, model or settings were changed: the figures are not those of the recipe")
    share = datasets.share_of(config.heldout, len(drawn))
    kept = 0 if share is None else len(datasets.split(drawn, share, config.seed)[1])
    checked = setup(**asked).config
    price = estimate_cost(recipe, checked, len(drawn) - kept, tuple(map(len, tests)), asked["model"])
    return Plan(recipe, drawn, tests, price, asked, not changed, tuple(notes))


async def reproduce(
    plan: Plan, *, db: Path, run: str = "", on_step: Callable[[Step], None] | None = None
) -> Reproduction:
    """Learn and test as planned; the same call goes on where an earlier one ended.

    Raises:
        BudgetReached: a budget ended it; with a larger one it goes on.
        NothingLearned: nothing could be learned or measured.
        EndpointError: the endpoint refuses every call.
    """
    recipe, ended = plan.recipe, list[LearnResult]()
    asked = {**plan.asked, "db": db}
    wanted = setup(run=run or recipe.name, **asked)
    async for step in api.execute(wanted, plan.learning, on_end=ended.append):
        if on_step:
            on_step(step)
    learned = ended[0]
    if learned.summary["stopped"]:
        raise BudgetReached(str(learned.summary["stopped"]))
    version = learned.summary["version"]
    outcomes = []
    for test, problems in zip(recipe.tests, plan.tests_P, strict=True):
        given = {**asked, "library": f"{recipe.learn.library}@{version}", "grader": test.grader or asked["grader"]}
        found = await api.evaluate(problems, k=test.k, controls=("empty",), **given)
        outcomes.append(judge_outcome(test, found.summary, exact=plan.pinned))
    return Reproduction(plan, learned.summary, tuple(outcomes))


def judge_outcome(test: EvalPart, summary: Mapping[str, Any], *, exact: bool = True) -> Outcome:
    """Judge the summary of an evaluation with the control `empty`.

    Inside: the whole 95% interval lies in the expected range. Outside: no part of it does. Otherwise, and wherever the
    recipe was changed (`exact` is false), these problems cannot tell.
    """
    empty = summary["controls"]["empty"]
    figure, (low, high) = {
        "after": (summary["mean"], summary["ci"]),
        "before": (empty["mean"], empty["ci"]),
        "diff": (empty["diff"], empty["diff_ci"]),
    }[test.figure]
    # No interval: a single problem.
    low, high = (-1.0, 1.0) if low is None or high is None else (low, high)
    return Outcome(test, summary["problems"], figure, low, high, _verdict(test, low, high, exact=exact), summary)


def _verdict(test: EvalPart, low: float, high: float, *, exact: bool) -> str:
    if exact and (high < test.low or low > test.high):
        return OUTSIDE
    return INSIDE if exact and test.low <= low and high <= test.high else TELL_NOT


def verdict_in_words(found: Outcome) -> str:
    """Return the verdict on one test in words."""
    test = found.test
    figures = f"{test.figure} {found.figure:+.3f} [{found.low:+.3f}, {found.high:+.3f}], n={found.n}, k={test.k}"
    expected = f"expected {test.low:+.3f} to {test.high:+.3f}"
    power = f"; {stats.power_note(found.n)}" if found.verdict == TELL_NOT else ""
    return f"{test.dataset}: {found.verdict}: {figures}; {expected}{power}"


def _loaded(recipe: Recipe, *, pretend: bool) -> list[tuple[Problem, ...]]:
    """The problems to learn from and those of each test; with `pretend`, made-up ones for what is not here."""
    wanted = [(recipe.learn.dataset, recipe.learn.words), *((test.dataset, test.words) for test in recipe.tests)]
    return [_made_up(recipe, n) if pretend and not _here(recipe, n) else _pinned(recipe, n, w) for n, w in wanted]


def _here(recipe: Recipe, name: str) -> bool:
    """Whether a dataset can be had without a network."""
    known = NAMED_SETS.get(name)
    if known is not None:
        return datasets.local_copy(known, configuration.data_folder()) is not None
    return Path(recipe.place(name)).is_file()


def _made_up(recipe: Recipe, name: str) -> tuple[Problem, ...]:
    known = NAMED_SETS.get(name)
    return dry_run.made_up_problems(name, known.rows if known else settings(recipe).limit or 100)


def _pinned(recipe: Recipe, name: str, words: str) -> tuple[Problem, ...]:
    problems = datasets.problems_from(recipe.place(name), folder=configuration.data_folder())
    _, found = datasets.marks(problems)
    if words and found != words:
        raise UsageError(f"recipe {recipe.name} pins {name} by the hash {words}, and this copy has {found}")
    return problems


def _unpinned(recipe: Recipe) -> list[str]:
    parts = ((recipe.learn.dataset, recipe.learn.words), *((test.dataset, test.words) for test in recipe.tests))
    return list(dict.fromkeys(name for name, words in parts if not words))


def _staged(asked: Mapping[str, Any], model: str, tools: tuple[str, ...]) -> dict[str, Any]:
    """Arguments for a rehearsal: one epoch, a judge that plays too, and no tool that leaves this machine."""
    played = {"epochs": 1, "environment__tools": tuple(dry_run.STAGED.get(name, name) for name in tools)}
    kept = {key: value for key, value in asked.items() if key.partition("__")[2] not in dry_run.STAGED}
    judge = {"grader__model": model, "grader__self_check": False, "grader__base_url": ""}
    return {**kept, **played, **(judge if asked.get("grader__model") else {}), "base_url": None}


def _with_heldout(few: int, heldout: str) -> int:
    """So many problems that `few` are left to learn from."""
    share = datasets.share_of(heldout, few)
    return few if share is None else -(-few * 100 // round(100 * (1 - share)))
