"""Methods side by side: equal problems, seeds and budgets, and differences that are called noise when they are."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from support.script import Model, play, rows, write
from typer.testing import CliRunner

from experience_db import Store
from tfgrpo import config
from tfgrpo.cli.app import app
from tfgrpo.errors import UsageError
from tfgrpo.report.comparison_svg import curves_svg, methods_svg
from tfgrpo.studies.compare import NONE, Cell, Comparison, Plan, compare, difference, notes, preset_list, row_of, table

OPEN = ["gate.kind=open", "rollout.group_size=4", "epochs=1"]


def silent(request: Any) -> str:
    """Propose nothing."""
    return '{"edits": []}'


async def run(model: Model, folder: Path, methods: tuple[str, ...], **asked: Any) -> Comparison:
    """Compare on twelve problems, a third of which are the test."""
    changed = {"seeds": (0, 1, 2), "test": 0.34, "heldout": 0, **asked.pop("plan", {})}
    options = {"grader": "exact", "model": play(model, "compared"), "overrides": OPEN, **asked}
    return await compare(rows(12), Plan(methods, folder=folder, **changed), **options)


@pytest.mark.slow
async def test_a_method_that_learns_gains_and_one_that_does_not_is_level(tmp_path):
    """With an able summarizer every seed gains the same, which says nothing of the noise between seeds."""
    found = await run(Model(), tmp_path / "a", ("default", "gfpo"))
    none, default, gfpo = found.rows
    assert none.reward == 0.0
    assert default.reward > 0.5
    assert default.against_none is not None
    assert default.against_none.diff > 0.5
    assert not default.against_none.exceeds
    assert "its noise is not known" in table(found.rows, "default")
    assert default.lessons > 0
    assert all(len(cell.curve) == (cell.method != NONE) for cell in found.cells)
    assert gfpo.against_first is not None
    idle = await run(Model(contrast=silent), tmp_path / "b", ("default",))
    assert idle.rows[1].reward == idle.rows[0].reward
    assert idle.rows[1].against_none is not None
    assert not idle.rows[1].against_none.exceeds


async def test_all_methods_get_the_same_problems_and_pay_for_themselves(tmp_path):
    """Each method and seed has its own database; learning problems are the same, and none of them is a test problem."""
    await run(Model(), tmp_path, ("default", "grpo"), plan={"seeds": (0,)})
    learned = []
    for name in ("default-0", "grpo-0"):
        with Store.open(tmp_path / f"{name}.db", readonly=True) as store:
            (own,) = [r for r in store.runs() if r.kind == "learn"]
            learned.append({g["problem"]["id"] for g in store.groups(own.id)})
            assert store.usage(own.id)["rollout"].calls == 32
    assert learned[0] == learned[1]
    assert len(learned[0]) == 8


async def test_a_budget_is_kept_by_every_method(tmp_path):
    """No method sends more calls for learning than were allowed, and the result says that it was stopped."""
    found = await run(Model(), tmp_path, ("default", "gfpo"), budget_calls=30, batch_size=2, plan={"seeds": (0,)})
    for cell in found.cells:
        assert cell.calls <= 30
        assert bool(cell.stopped) is (cell.method != NONE)
    assert found.summary["budget"] == {"calls": 30}


@pytest.mark.slow
async def test_running_again_pays_nothing_and_says_the_same(tmp_path):
    """The same comparison goes on from its folder: no call is made twice."""
    model = Model()
    first = await run(model, tmp_path, ("default", "ppo"), plan={"seeds": (0, 1)})
    asked = len(model.requests)
    again = await run(model, tmp_path, ("default", "ppo"), plan={"seeds": (0, 1)})
    assert len(model.requests) == asked
    assert {**again.summary, "seconds": 0} == {**first.summary, "seconds": 0}


async def test_a_method_that_the_model_cannot_serve_is_named_and_the_others_go_on(tmp_path):
    """A likelihood method on an endpoint without scores has no result and says why."""
    found = await run(
        Model(), tmp_path, ("default", "gspo"), overrides=["epochs=1"], plan={"seeds": (0,), "heldout": 0.3}
    )
    default, gspo = found.rows[1:]
    assert not math.isnan(default.reward)
    assert math.isnan(gspo.reward)
    assert "cannot score" in gspo.failed
    assert "no result: Scripted models cannot score" in table(found.rows, "default")


def cells(method: str, *rewards: float) -> list[Cell]:
    """One cell per seed with a single test problem."""
    return [Cell(method, seed, (reward,)) for seed, reward in enumerate(rewards)]


def test_differences_are_paired_by_seed_and_widened_for_many_methods():
    """The same differences have a wider interval among more methods; two seeds never exceed the noise."""
    both = cells("a", 0.1, 0.5, 0.9, 0.4) + cells("b", 0.2, 0.58, 1.0, 0.52)
    few, many = difference("b", "a", both, 2), difference("b", "a", both, 14)
    assert few is not None
    assert many is not None
    assert few.diff == pytest.approx(0.1)
    assert few.exceeds
    assert many.low < few.low < few.high < many.high
    two = difference("b", "a", cells("a", 0.1, 0.1) + cells("b", 0.5, 0.5), 2)
    assert two is not None
    assert not two.exceeds
    assert difference("a", "a", both, 2) is None
    assert difference("b", "a", cells("b", 0.5), 2) is None


def test_no_interval_reaches_beyond_what_rewards_can_differ_by():
    """Means of rewards in [0, 1] differ by 1 at most; a scale that goes further bounds nothing, and nan stays nan."""
    few = cells("a", 0.0, 0.0, 0.0) + cells("b", 1.0, 0.0, 0.0)
    found, back = difference("b", "a", few, 2), difference("a", "b", few, 2)
    assert found is not None
    assert back is not None
    assert (found.low, found.high, back.low, back.high) == (-1.0, 1.0, -1.0, 1.0)
    assert not found.exceeds
    beyond = difference("b", "a", [*few, Cell("c", 0, (2.0,))], 2)
    assert beyond is not None
    assert beyond.high == pytest.approx(1.7676, abs=1e-3)
    alike = difference("b", "a", cells("a", 0.0, 0.0, 0.0) + cells("b", 1.0, 1.0, 1.0), 2)
    assert alike is not None
    assert math.isnan(alike.low)
    assert math.isnan(alike.high)


def test_an_interval_that_is_not_known_is_said_in_words():
    """A method that wins one seed whole and loses the other whole is the same on every problem: no spread, no `nan`."""
    known = [Cell("a", 0, (1.0, 1.0)), Cell("a", 1, (0.0, 0.0))]
    told = table([row_of("a", known, Plan(("a",)))], "a")
    assert "not known: the same on every test problem" in told
    assert "nan" not in told


def test_missing_seeds_are_left_out_and_not_zero():
    """A seed without a result neither counts as reward 0 nor pairs."""
    known = [*cells("a", 0.5, 0.7), Cell("a", 2, (), failed="no")]
    row = row_of("a", known, Plan(("a",)))
    assert row.reward == pytest.approx(0.6)
    assert row.failed == "no"


def test_unknown_or_repeated_methods_are_refused():
    """A name that is no preset lists those that are; `all` is every preset, ours first."""
    with pytest.raises(UsageError, match="no method 'nope'"):
        preset_list("default,nope")
    everything = preset_list("all")
    assert everything[0] == "default"
    assert set(everything) == set(config.preset_names())


def test_the_command_prints_one_object_and_draws_a_picture(tmp_path):
    """With --json stdout is one JSON object; the plot is SVG with a line per method."""
    data, plot, page = write(tmp_path / "data.jsonl", rows(12)), tmp_path / "p.svg", tmp_path / "p.html"
    command = [
        *("compare", str(data), "--grader", "exact", "--model", play(Model(), "told"), "--methods", "default,grpo"),
        *("--seeds", "1", "--heldout", "0", "-s", "gate.kind=open", "--epochs", "1", "-o", str(tmp_path / "runs")),
    ]
    done = CliRunner().invoke(app, [*command, "--json", "--plot", str(plot), "--report", str(page)])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [m["method"] for m in found["methods"]] == ["none", "default", "grpo"]
    labels = [element.text for element in ElementTree.parse(plot).iter() if element.tag.endswith("text")]
    assert {"none", "default", "grpo"} <= set(labels)
    plain = CliRunner().invoke(app, command)
    assert "| default |" in plain.stdout
    assert "No budget was set" in plain.stdout
    assert "With 1 seed nothing can exceed the noise" in plain.stdout
    assert "with every seed: default = grpo." in plain.stdout
    _, decided = plain.stdout.split("What each decided, on average over seeds:")
    assert [line.split(" | ")[0] for line in decided.splitlines() if line.startswith("| ")][2:] == [
        "| default",
        "| grpo",
    ]
    own = next(m for m in found["methods"] if m["method"] == "grpo")["decided"]
    assert own["contrasts"] > 0
    assert own["first"][0].startswith("When the topic is")
    html = page.read_text()
    assert html.count("<svg") == 2
    assert "http://" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "No budget was set" in html


def test_a_difference_that_is_the_same_for_every_seed_has_no_interval_on_the_page(tmp_path):
    """Seeds that differ by one and the same amount tell nothing of others, and the page says so in place of failing."""
    data, page = write(tmp_path / "data.jsonl", rows(12)), tmp_path / "p.html"
    command = [
        *("compare", str(data), "--grader", "exact", "--model", play(Model(), "same"), "--methods", "default,grpo"),
        *("--seeds", "2", "--heldout", "0", "-s", "gate.kind=open", "--epochs", "1", "-o", str(tmp_path / "runs")),
    ]
    done = CliRunner().invoke(app, [*command, "--json", "--report", str(page)])
    assert done.exit_code == 0, done.output
    alike = [m["against_none"] for m in json.loads(done.stdout)["methods"] if m["against_none"]]
    assert alike
    assert all(a["low"] is None for a in alike)
    assert page.read_text().count("(no interval)") >= len(alike)


def test_a_page_that_cannot_be_written_costs_no_result(tmp_path):
    """The object is printed first; then one sentence names the file."""
    data = write(tmp_path / "data.jsonl", rows(12))
    command = [
        *("compare", str(data), "--grader", "exact", "--model", play(Model(), "unwritten"), "--methods", "default"),
        *("--seeds", "1", "--heldout", "0", "-s", "gate.kind=open", "--epochs", "1", "-o", str(tmp_path / "runs")),
    ]
    done = CliRunner().invoke(app, [*command, "--json", "--report", str(tmp_path)])
    assert done.exit_code == 2
    assert json.loads(done.stdout)["methods"]
    assert f"cannot write {tmp_path}: " in done.stderr


def test_the_picture_shows_every_seed():
    """Each seed is a dot beside the mean."""
    drawn = methods_svg([("a", 0.5, (0.4, 0.6), (0.45, 0.55)), ("b", 0.2, (math.nan, math.nan), (0.2,))])
    assert drawn.count("<circle") == 5


def test_the_curves_show_every_seed_and_their_mean():
    """A panel per method; a seed of one step is a dot, and what was never measured leaves no line."""
    drawn = curves_svg([("a", [(0.1, 0.3), (0.2, None)]), ("b", [(0.5,)])])
    parts = list(ElementTree.fromstring(drawn).iter())
    assert [e.text for e in parts if e.tag.endswith("text") and e.text in ("a", "b")] == ["a", "b"]
    assert drawn.count("<path") == 2
    assert drawn.count("<circle") == 3
    assert "nan" not in drawn
    assert ElementTree.fromstring(curves_svg([])).tag.endswith("svg")


async def test_the_notes_say_what_was_cut_what_failed_and_what_made_no_difference():
    """A method that did what the reference did is named, so is a budget, and a seed without a result."""
    same = [Cell(m, s, (0.5,), 9, 90, 1, curve=(0.2,), stopped="spent") for m in ("a", "b") for s in range(3)]
    found = [*same, *cells("none", 0.1, 0.12, 0.1), *cells("c", 0.4, 0.2), Cell("c", 2, (), failed="broke")]
    plan = Plan(("a", "b", "c"), seeds=(0, 1, 2))
    made = tuple(row_of(m, found, plan) for m in ("none", "a", "b", "c"))
    said = "\n".join(
        notes(Comparison(made, tuple(found), {"reference": "a", "seeds": [0, 1, 2], "budget": {"calls": 9}}))
    )
    assert "The same on every test problem with every seed: a = b." in said
    assert "Ended by the budget: a 3 of 3, b 3 of 3." in said
    assert "c has no result for 1 of 3 seeds: broke" in said
    assert "a, b against no lessons" in said


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"plan": {"test": 2}}, "a fraction between 0 and 1, not 2"),
        ({"plan": {"heldout": 0}, "overrides": []}, "needs held-out problems"),
        ({"grader": "nope"}, "no grader 'nope'"),
        ({"overrides": ["edit_score.options.beta=best", "gate=likelihood"], "plan": {"heldout": 0.3}}, "'fit'"),
        ({"budget_calls": -1}, "budget.calls is -1"),
    ],
)
async def test_wrong_arguments_end_before_the_first_call(changed, said, tmp_path):
    """What cannot be is refused before anything is asked or stored."""
    model = Model()
    with pytest.raises(UsageError, match=said):
        await run(model, tmp_path / "runs", ("default",), **changed)
    assert model.requests == []
    assert not (tmp_path / "runs").exists()


async def test_a_test_problem_that_teaches_or_gates_is_refused(tmp_path):
    """The test set shares nothing with the dataset, nor with what the gates see."""
    own, other = write(tmp_path / "own.jsonl", rows(2)), write(tmp_path / "other.jsonl", rows(2, start=50))
    with pytest.raises(UsageError, match="--test shares problems with the dataset: 2, such as"):
        await run(Model(), tmp_path / "runs", ("default",), plan={"test": str(own)})
    with pytest.raises(UsageError, match="--test shares problems with --heldout: 2, such as"):
        await run(Model(), tmp_path / "runs", ("default",), plan={"test": str(other), "heldout": str(other)})


def test_a_comparison_without_any_result_ends_with_1(tmp_path):
    """Methods that the model cannot serve have no result; when none has one the command has failed."""
    data = write(tmp_path / "data.jsonl", rows(12))
    command = ["compare", str(data), "--grader", "exact", "--model", play(Model(), "mute"), "--methods", "gspo"]
    done = CliRunner().invoke(app, [*command, "--seeds", "1", "-o", str(tmp_path / "runs")])
    assert done.exit_code == 1
    assert "no result: Scripted models cannot score" in done.stdout


@pytest.mark.slow
def test_methods_compare_on_the_embedded_model(tmp_path):
    """The whole way with tiny: two presets, one of which needs scores, at equal budget."""
    import subprocess
    import sys

    worlds = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"
    sizes = ("--seed", "5", "--problems", "60", "--heldout", "2", "-o", str(tmp_path))
    subprocess.run([sys.executable, str(worlds), *sizes], check=True, stdout=subprocess.DEVNULL)
    command = [
        *("compare", str(tmp_path / "problems.jsonl"), "--grader", "exact", "--model", "tiny", "--seeds", "1"),
        *("--methods", "default,gvpo", "--epochs", "1", "--batch-size", "20", "--budget-calls", "900"),
        *("-o", str(tmp_path / "runs"), "--json"),
    ]
    found = json.loads(CliRunner().invoke(app, command).stdout)
    assert all(row["reward"] is not None for row in found["methods"])
    assert all(cell["calls"] <= 900 for cell in found["cells"])
