"""Recipes: pinned, priced before, judged after, and really run where no key is needed."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest
from support.script import Model, play, rows, write

from tfgrpo.datasets import load, marks
from tfgrpo.errors import BudgetReached, UnknownKey, UsageError
from tfgrpo.studies import recipe_file
from tfgrpo.studies import reproduce as running
from tfgrpo.studies.recipe_file import EvalPart
from tfgrpo.studies.reproduce import INSIDE, OUTSIDE, TELL_NOT, judge_outcome, plan_recipe, reproduce
from tfgrpo.tools.sandbox import check_isolation, isolation

EXAMPLES = Path(__file__).parents[2] / "examples"
RECIPE = """
about = "A small one."
hosted = false

[learn]
dataset = "learn.jsonl"
words = "{words}"
model = "{model}"
grader = "exact"

[[test]]
dataset = "test.jsonl"
low = {low}
high = {high}
basis = "a guess"

[cost]
basis = "counted"
prompt_tokens = 10
completion_tokens = 5

[config]
epochs = 1
batch_size = 4
heldout = "0"
gate = "open"

[config.rollout]
group_size = 4
"""


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Write a recipe with a scripted model that doubles its score by learning, and return its path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TFGRPO_DATA", raising=False)

    def make(low=0.5, high=1.0, words=None, **roles):
        write(tmp_path / "learn.jsonl", rows(8))
        write(tmp_path / "test.jsonl", rows(40, 100))
        words = marks(load(tmp_path / "learn.jsonl"))[1] if words is None else words
        model = play(Model(**roles), "reproduced")
        path = tmp_path / "small.toml"
        path.write_text(RECIPE.format(low=low, high=high, words=words, model=model))
        return path

    return make


def run(path, **how):
    """Load, plan and run."""
    return reproduce(plan_recipe(recipe_file.load_recipe(str(path)), **how), db=Path("small.db"))


@pytest.mark.parametrize(("low", "high", "verdict"), [(0.5, 1.0, INSIDE), (-0.2, 0.2, OUTSIDE), (0.99, 1.0, TELL_NOT)])
async def test_a_recipe_is_run_and_judged(small, low, high, verdict):
    """The library lifts every test problem; whether that was expected depends on the range."""
    found = await run(small(low, high))
    (one,) = found.outcomes
    assert (one.figure, one.n, found.verdict) == (1.0, 40, verdict)
    assert found.learned["version"] > 0
    assert running.verdict_in_words(one).startswith(f"test.jsonl: {verdict}: diff +1.000")


async def test_the_same_recipe_goes_on_where_a_budget_ended_it(small):
    """A budget ends it with its own error; the next call replays what was paid and finishes."""
    path = small()
    with pytest.raises(BudgetReached):
        await run(path, overrides=["budget.calls=20"])
    found = await run(path)
    assert found.learned["calls"]["rollout"]["replayed"] > 0


async def test_a_changed_recipe_never_gets_the_verdict(small):
    """With fewer problems, another model or other settings the figures are not the recipe's, and it says so."""
    path = small()
    for how in ({"problems": 6}, {"model": play(Model(), "another")}, {"overrides": ["seed=3"]}):
        planned = plan_recipe(recipe_file.load_recipe(str(path)), **how)
        assert not planned.pinned
        assert "not those of the recipe" in planned.notes[-1]
    found = await reproduce(plan_recipe(recipe_file.load_recipe(str(path)), problems=6), db=Path("few.db"))
    assert (found.verdict, found.outcomes[0].n) == (TELL_NOT, 6)


@pytest.mark.parametrize(
    ("ci", "verdict"),
    [
        ((0.2, 0.4), INSIDE),
        ((0.1, 0.5), INSIDE),
        ((0.0, 0.4), TELL_NOT),
        ((0.2, 0.6), TELL_NOT),
        ((-1.0, 1.0), TELL_NOT),
        ((0.51, 0.9), OUTSIDE),
        ((-0.5, 0.09), OUTSIDE),
        ((None, None), TELL_NOT),
    ],
)
def test_a_verdict_needs_the_whole_interval(ci, verdict):
    """Inside only when all of the interval is, outside only when none of it is, else nobody can tell."""
    test = EvalPart("x", 0.1, 0.5, "here")
    summary = {"problems": 9, "mean": 0, "ci": (0, 0), "controls": {"empty": {"diff": 0.3, "diff_ci": ci}}}
    assert (
        judge_outcome(
            test, {**summary, "controls": {"empty": {**summary["controls"]["empty"], "mean": 0, "ci": (0, 0)}}}
        ).verdict
        == verdict
    )


@pytest.mark.parametrize("ci", [(0.2, 0.4), (0.51, 0.9)])
def test_a_changed_recipe_is_neither_inside_nor_outside(ci):
    """Whatever another model or fewer problems gave, it says nothing about the recipe."""
    empty = {"diff": 0.3, "diff_ci": ci, "mean": 0, "ci": (0, 0)}
    summary = {"problems": 9, "mean": 0, "ci": (0, 0), "controls": {"empty": empty}}
    assert judge_outcome(EvalPart("x", 0.1, 0.5, "here"), summary, exact=False).verdict == TELL_NOT


def test_another_dataset_is_refused(small):
    """A pinned hash that does not fit ends it before anything is asked."""
    with pytest.raises(UsageError, match=r"pins learn\.jsonl by the hash 0123, and this copy has"):
        plan_recipe(recipe_file.load_recipe(str(small(words="0123"))))


def test_learning_and_test_problems_may_not_overlap(small, tmp_path):
    """A test set that holds a learning problem is no test set."""
    path = small()
    (tmp_path / "test.jsonl").write_text((tmp_path / "learn.jsonl").read_text())
    with pytest.raises(UsageError, match=r"8 problems of test\.jsonl are among those to learn from"):
        plan_recipe(recipe_file.load_recipe(str(path)))


def test_the_estimate_counts_every_stage(small):
    """Rollouts, tests with and without the library, and lesson calls are exact; a scripted model costs nothing."""
    planned = plan_recipe(recipe_file.load_recipe(str(small())))
    counts = {item.what: item.calls for item in planned.estimate.items}
    assert counts == {"learning rollouts": 32, "test rollouts": 80, "lesson calls": 42}
    assert planned.estimate.usage.prompt_tokens == 112 * 10
    assert planned.estimate.usd == 0.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("about", "abuot"), "unknown key 'abuot'"),
        (('basis = "a guess"', ""), "missing 1 required"),
        (("low = 0.5", "low = 2"), "test.low at most test.high"),
        (("low = 0.5", 'low = 0.5\nfigure = "max"'), "one of before, after, diff"),
        (("epochs = 1", "epoch = 1"), "did you mean epochs"),
        (("[cost]", "[costs]"), "unknown key 'costs'"),
    ],
)
def test_broken_recipes_are_refused(small, change, message):
    """What is wrong is named, with the file or the key."""
    path = small()
    path.write_text(path.read_text().replace(*change))
    with pytest.raises((UsageError, UnknownKey), match=message):
        plan_recipe(recipe_file.load_recipe(str(path)))


def test_unknown_recipes_list_what_there_is():
    """A name that is none is answered with those that are."""
    with pytest.raises(UsageError, match="no recipe 'nope'; there are: math-paper, tiny-quickstart, web-paper"):
        recipe_file.load_recipe("nope")


@pytest.mark.parametrize(("name", "folder"), [("math-paper", "math"), ("web-paper", "web_search")])
def test_the_papers_recipes_are_those_of_the_examples(name, folder):
    """The file that a reader gives to --config holds the settings that `reproduce` runs, and both are valid."""
    recipe = recipe_file.load_recipe(name)
    shown = tomllib.loads((EXAMPLES / folder / "learn.toml").read_text(encoding="utf-8"))
    assert recipe.config == shown
    config = recipe_file.settings(recipe)
    assert (config.limit, config.epochs, config.gate.kind, config.rollout.temperature) == (100, 3, "open", 0.7)
    assert config.rollout.group_size == {"math": 5, "web_search": 3}[folder]
    assert config.evaluation.temperature == 0.3
    assert "the paper's figures" in recipe.tests[0].published
    assert recipe.hosted


@pytest.mark.parametrize("name", ["math-paper", "web-paper"])
def test_the_price_of_the_papers_recipes_needs_neither_data_nor_network(name, monkeypatch):
    """Datasets that are not here are counted as they should be."""
    monkeypatch.delenv("TFGRPO_DATA", raising=False)
    planned = plan_recipe(recipe_file.load_recipe(name), only_price=True)
    assert len(planned.learning) == 100
    counts = {item.what: item.rollouts for item in planned.estimate.items}
    assert counts["learning rollouts"] == {"math-paper": 1500, "web-paper": 900}[name]
    assert counts["test rollouts"] == {"math-paper": 3840, "web-paper": 1360}[name]
    assert planned.estimate.usd is None or planned.estimate.usd > 1


def works() -> bool:
    """Whether programs can be shut in here."""
    try:
        return bool(check_isolation(isolation("bubblewrap")))
    except UsageError:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("name", ["math-paper", "web-paper"])
async def test_the_papers_recipes_are_rehearsed_stage_by_stage(name, tmp_path, monkeypatch):
    """Without key, data and network every stage is played: tools, graders, four stages, merge, test, verdict."""
    if name == "math-paper" and not works():
        pytest.skip("bubblewrap does not work here")
    monkeypatch.chdir(tmp_path)
    for variable in ("TFGRPO_DATA", "OPENAI_API_KEY", "SERPER_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    found = await reproduce(plan_recipe(recipe_file.load_recipe(name), rehearse=True), db=tmp_path / "played.db")
    calls = found.learned["calls"]
    tools = {"math-paper": {"tool:python"}, "web-paper": {"tool:web_search", "tool:fetch_page"}}[name]
    assert tools | {"rollout", "summarize", "contrast", "operations"} <= set(calls)
    assert found.learned["groups"]["kept"] == 4
    assert found.verdict == TELL_NOT
    assert all(one.figure == 1.0 and one.n == 4 for one in found.outcomes)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_the_tiny_recipe_comes_out_inside(tmp_path, monkeypatch):
    """The one recipe that needs no key is run as it stands, and comes out as it should."""
    monkeypatch.chdir(tmp_path)
    found = await reproduce(plan_recipe(recipe_file.load_recipe("tiny-quickstart")), db=tmp_path / "tiny.db")
    (one,) = found.outcomes
    assert found.verdict == INSIDE, running.verdict_in_words(one)
    assert not math.isnan(one.figure)
    assert found.plan.notes == ()
