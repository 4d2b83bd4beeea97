"""The benchmarks of gate and credit, run small: they end, say what they measured, and can tell good from bad."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tfgrpo.backends.endpoints import endpoints_of
from tfgrpo.backends.scripted import Scripted
from tfgrpo.config.engine import EngineConfig
from tfgrpo.evaluation import credit
from tfgrpo.gates import Alpha
from tfgrpo.lessons.summarize import Contrast
from tfgrpo.types import Failure, FailureKind, Request, Sampling


@pytest.fixture
def load(monkeypatch):
    """Return a function that imports a benchmark as its own command would."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))

    def by_name(name):
        module = importlib.import_module(name)
        assert Path(module.__file__).parent.name == "benchmarks"
        return module

    return by_name


@pytest.mark.slow
def test_credit_prints_bias_coverage_and_power(load, capsys):
    """The headline is the joint regression on 48 problems, and few passes already cover about right."""
    load("credit").main(["--seed", "5", "--runs", "8", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"bias", "coverage", "power", "rows"} <= set(found)
    assert 0.85 < found["coverage"] <= 1
    assert abs(found["bias"]) < 0.3
    assert [row["problems"] for row in found["rows"]] == [24, 48, 96] * 4


def test_the_truth_of_the_credit_benchmark_is_what_estimators_find(load):
    """With many problems every estimator comes near the effect that the benchmark calls true."""
    benchmark = load("credit")
    rng = benchmark.random.Random("truth")
    joint = credit.joint_regression(*benchmark.one_pass(3000, rng))
    for lesson, found in zip(benchmark.LESSONS, joint, strict=True):
        assert abs(found.estimate - benchmark.truth(lesson, 0.75)) < 0.06, lesson
    for lesson, found in zip(benchmark.LESSONS, benchmark.left_out(3000, 2, rng), strict=True):
        assert abs(found.estimate - benchmark.truth(lesson, 1.0)) < 0.06, lesson


@pytest.mark.slow
def test_the_gate_benchmark_prints_its_contract(load, capsys):
    """False accepts, power, harm, undecided and cost; and a row per scene and rule of whole runs."""
    gate = load("gate")
    gate.main(["--seed", "1", "--runs", "5", "--parts", "single,runs", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {"false_accept", "accept_right", "accept_wrong", "undecided", "mean_rollouts"} <= set(found)
    assert (found["accept_right"], found["accept_wrong"]) == (1, 0)
    assert [row["rule"] for row in found["whole_runs"]] == ["fixed", "e-lond"] * len(gate.SCENES)


@pytest.mark.slow
async def test_a_poisoned_model_errs_in_one_contrast_of_five_and_is_the_embedded_one_else(load):
    """It is named like any other model, keeps what the embedded one can, and repeats itself."""
    variants = load("variants")
    (backend,) = endpoints_of("scripted/variants:Poisoned", (), EngineConfig()).backends
    assert isinstance(backend, variants.Tiny)
    asked = [
        Request(
            "contrast", "m", ({"role": "user", "content": f"Compare the attempts.\nProblem: Compute {i} zib 4.\n"},)
        )
        for i in range(60)
    ]
    said = [(await backend.complete(r)).text for r in asked]
    own = [(await variants.Tiny().complete(r)).text for r in asked]
    other = [a for a, b in zip(said, own, strict=True) if a != b]
    assert 5 <= len(other) <= 20
    assert all('"Treat zib as ' in text for text in other)
    assert said[:9] == [(await backend.complete(r)).text for r in asked[:9]]


async def test_right_edits_pass_and_a_strict_rule_costs_more(load):
    """In a run of right and useless edits e-LOND accepts the right ones too, after more rollouts."""
    gate = load("gate")
    assert Alpha(0.05, "e-lond").level < 0.05
    loose = await gate.whole_runs("half of the edits right", "fixed", 1, 3)
    strict = await gate.whole_runs("half of the edits right", "e-lond", 1, 3)
    assert loose["accept_right"] == 1
    assert strict["accept_right"] > 0.7
    assert strict["mean_rollouts_right"] > loose["mean_rollouts_right"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_engine_benchmark_relates_all_to_its_floor_and_loses_nothing():
    """Run small it gives a ratio for each part, and under faults the job ends with all its rollouts and lessons."""
    command = [sys.executable, Path(__file__).parent / "benchmarks" / "engine.py", "--problems", "12", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert set(found["ratios"]) == {
        *("cpu_to_floor", "cpu_joined_to_floor", "speed_to_floor", "memory_large_to_small", "schedule_to_best"),
        *("schedule_joined_to_best", "overlap_to_apart", "faults_to_fair", "help_to_python"),
    }
    faults = found["faults"]
    assert (faults["bad"]["exit"], faults["bad"]["traceback"], faults["lost_rollouts"]) == (0, False, 0)
    assert sum(faults["bad"]["faults"].values()) > 0
    assert faults["same_lessons"]
    assert found["schedule"]["best_seconds"] <= found["schedule"]["seconds"]


def test_replay_tells_rules_apart_on_stored_outcomes(load, capsys, tmp_path):
    """A coin is let in by the larger mean and hardly by our test; a clear gain is found in few pairs by both."""
    coin = {"id": "coin", "before": [0, 1] * 50, "after": [1, 0] * 50}
    gain = {"id": "gain", "before": [0] * 60 + [1] * 40, "after": [1] * 60 + [1] * 40}
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(map(json.dumps, (coin, gain))) + "\n")
    replay = load("replay")
    replay.main([str(rows), "--draws", "40", "--seed", "3", "--json"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["coin"]["mean 30"]["accept"] > 0.25
    assert found["coin"]["ours"]["accept"] <= 0.15
    assert (found["gain"]["ours"]["accept"], found["gain"]["ours"]["reject"]) == (1, 0)
    assert found["gain"]["ours"]["pairs"] < 48
    assert (found["gain"]["n"], found["gain"]["diff"]) == (100, 0.6)
    assert set(replay.RULES) < set(found["coin"])
    replay.main([str(rows), "--draws", "2"])
    assert "+.20 and more (1)" in capsys.readouterr().out


def test_replay_names_a_row_whose_sides_do_not_match(load, tmp_path):
    """Sides of different length end the program with file and line."""
    (tmp_path / "rows.jsonl").write_text('{"id": "x", "before": [1], "after": []}\n')
    with pytest.raises(SystemExit, match="line 1: before and after must have the same number"):
        load("replay").main([str(tmp_path / "rows.jsonl")])


@pytest.mark.slow
def test_scenes_of_the_gate_benchmark_can_fail_a_gate(load, capsys):
    """The parts run small, and the numbers that a wrong gate would spoil are there."""
    gate = load("gate")
    gate.main(["--seed", "1", "--runs", "5", "--parts", "batches,edits,trades,fdr", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert {row["batch"] for row in found["batches"]} == set(gate.gate_scenes.BATCHES)
    assert all(row["rivals_together"] == 0 for row in found["batches"])
    useful = [row["accepted"]["joint"] for row in found["batches"] if "joint" in row["accepted"]]
    assert sum(useful) / len(useful) > 0.5
    assert {"screen", "alone"} <= set(found["screen"][0])
    assert max(row["accepted"] for row in found["edits"]) <= 0.5
    harmful = [row for row in found["elsewhere"] if row["elsewhere"].startswith("-.25")]
    assert sum(row["rejected"] for row in harmful) > 0
    bought = [row for row in found["trades"] if row["trade"].startswith("accuracy .70 to .45")]
    assert all(row["accepted"] == 0 for row in bought)
    assert {row["rule"] for row in found["batched_runs"]} == {"fixed", "e-lond"}


def test_blocks_measures_a_cell_and_prints_a_table(load, tmp_path, capsys):
    """A cell of the embedded model is measured once, found again, and shown with its interval."""
    blocks = load("blocks")
    blocks.PROBLEMS, blocks.DRAWS = 2, 2
    out = tmp_path / "blocks.jsonl"
    wanted = [
        "--model",
        "tiny",
        "--out",
        str(out),
        "--variants",
        "right",
        "--blocks",
        "Lessons: [id], system",
        "--json",
    ]
    blocks.main(wanted)
    first = json.loads(capsys.readouterr().out)["rows"]
    blocks.main(wanted)
    assert json.loads(capsys.readouterr().out)["rows"] == first
    assert [row["block"] for row in first] == ["no lesson", "Lessons: [id], system"]
    assert "| Lessons: [id], system | 1.00 | 1.00 [" in blocks.table(first)


def test_every_block_of_the_study_is_one_that_a_library_may_have(load):
    """None of them does more than a template may, and each shows the lesson; a turn's block shows worked examples."""
    blocks = load("blocks")
    for name, template in blocks.BLOCKS.items():
        shown = blocks.blocks_library(template, ['Say "yes" or "no".']).inject([{"role": "user", "content": "Q"}])
        assert any("yes" in message["content"] for message in shown), name


def test_edits_keeps_each_reply_and_asks_for_those_that_are_missing_only(load, tmp_path, capsys):
    """A draw that stands in the file is not asked for again, a text that lost a reply gets it, and groups are pairs."""
    edits = load("edits")
    out = tmp_path / "edits.jsonl"
    wanted = ["--model", "tiny", "--prompts", "tiny", "--draws", "1", "--out", str(out), "--json"]
    edits.main(wanted)
    first = json.loads(capsys.readouterr().out)["rows"]
    assert sorted((row["group"], row["draw"]) for row in first) == sorted((g.problem.id, 0) for _, g in edits.groups())
    kept = out.read_text(encoding="utf-8").splitlines()
    out.write_text("\n".join(kept[1:]) + "\n", encoding="utf-8")
    edits.main(wanted)
    again = json.loads(capsys.readouterr().out)["rows"]
    assert again[:-1] == first[1:]
    assert {k: v for k, v in again[-1].items() if k != "seconds"} == {
        k: v for k, v in first[0].items() if k != "seconds"
    }
    better = [{**row, "prompts": "other", "right": int(i < 9)} for i, row in enumerate(first)]
    assert edits.shares(better)[first[0]["group"]] == 1.0
    assert edits.against([*first, *better], "tiny").startswith("tiny: other against tiny: +75.0 points")


async def test_the_draws_of_a_study_are_those_of_a_run_that_draws_several(load):
    """Draw 5 of a line has the opening, the attempt and the seed that it has among eight of one run."""
    edits = load("edits")
    prompts = edits.templates.load("small")
    openings = prompts.settings.openings.split("|")
    assert edits.turned(prompts, 5).settings.openings.split("|")[0] == openings[5 % len(openings)]
    assert prompts.settings.openings.split("|") == openings
    script = Scripted(["Be brief.", "Be brief."])
    for seed, wanted in ((7, 12), (None, None)):
        await edits.Drawn(script, 5).complete(Request("contrast", "m", (), Sampling(seed=seed)))
        assert (script.requests[-1].attempt, script.requests[-1].sampling.seed) == (5, wanted)


@pytest.mark.parametrize(("kind", "counts"), [("timeout", False), ("provider", False), ("malformed", True)])
def test_a_reply_that_never_came_is_no_row_of_the_study(load, kind, counts):
    """What an endpoint lost says nothing of a prompt; what a model wrote does, also where nobody can read it."""
    edits = load("edits")
    found = Contrast(failures=(Failure(FailureKind(kind), "no answer in 600 s"),))
    assert bool(edits.unanswered(found)) is not counts
