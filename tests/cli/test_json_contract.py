"""What scripts rely on: the fields of `--json`, alone on stdout, and the exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.script import Model, edits, play, rows, write

from tfgrpo.errors import ProviderError

LEARN = {
    "run": str, "library": str, "version": int, "steps": int, "problems": int, "rollouts": int, "groups": dict,
    "edits": dict, "lessons": int, "calls": dict, "usage": dict, "reward": dict, "heldout": dict, "failures": dict,
    "seconds": float,
}  # fmt: skip
EVAL = {
    "dataset": str, "library": str, "version": int, "model": str, "problems": int, "k": int, "mean": float, "ci": list,
    "pass_at": dict, "pass_hat": dict, "controls": dict, "failures": dict, "usage": dict, "seconds": float,
}  # fmt: skip
USAGE = {"prompt_tokens", "cached_tokens", "completion_tokens", "usd"}
PROVE = ("--heldout", "held.jsonl", "--gate", "paired", "--json")


def test_learn_prints_one_object_with_the_fields_of_the_contract(learn, parsed):
    """Every field is there with its type; progress went to stderr."""
    result = learn(*PROVE)
    told = parsed(result)
    assert result.exit_code == 0
    assert {name: type(told[name]) for name in LEARN} == LEARN
    assert set(told["groups"]) == {"kept", "flat", "failed", "filtered"}
    assert set(told["edits"]) == {"proposed", "accepted", "rejected", "undecided", "untested", "malformed"}
    assert set(told["usage"]) == USAGE
    assert set(told["reward"]) == {"first", "last"}
    assert {"before", "after", "diff", "ci", "n", "p", "selected_on"} <= set(told["heldout"])
    assert all(set(entry) == {"new", "replayed"} for entry in told["calls"].values())
    assert (told["problems"], told["rollouts"], told["lessons"], told["version"]) == (4, 20, 4, 1)
    assert "step 1 (epoch 1)" in result.stderr
    assert result.stdout.count("\n") == 1


def test_fields_beyond_the_contract_are_known(learn, parsed):
    """A new field is added on purpose, never by accident."""
    told = parsed(learn(*PROVE))
    assert set(told) - set(LEARN) <= {"stopped", "harm", "warnings", "false_lessons", "outlook", "block"}
    more = set(told["heldout"]) - {"before", "after", "diff", "ci", "n", "p", "selected_on"}
    assert more <= {"before_ci", "after_ci", "chosen_on", "objectives"}


def test_a_second_run_replays_every_call(learn, parsed, model):
    """`calls` tells new ones from replayed ones; the bill stays that of the whole run."""
    first = parsed(learn(*PROVE))
    seen = len(model.requests)
    again = parsed(learn(*PROVE))
    assert len(model.requests) == seen
    assert sum(entry["new"] for entry in again["calls"].values()) == 0
    assert sum(entry["replayed"] for entry in again["calls"].values()) >= seen
    assert again["usage"] == first["usage"]


@pytest.mark.parametrize("size", [1, 2])
def test_json_never_holds_nan(learn, parsed, size):
    """Numbers that do not exist, such as the interval of one problem, are null."""
    Path("one.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(size, 300)))
    told = parsed(learn("--heldout", "one.jsonl", "--gate", "open", "--json"))
    assert told["heldout"]["n"] == size
    if size == 1:
        assert told["heldout"]["before_ci"] == [None, None]


def test_without_held_out_problems_that_part_is_null(learn, parsed):
    """Nothing measured is null, not zero."""
    told = parsed(learn("--heldout", "0", "--gate", "open", "--json"))
    assert told["heldout"] is None


def test_a_run_that_cannot_measure_says_so_before_it_learns(cli):
    """When not one held-out rollout could be scored the command ends with 1 and the cause, and learned nothing."""
    name = play(Model(evaluate=lambda _: ProviderError("down")), "cli")
    ask = ("learn", "learn.jsonl", "--grader", "exact", "--model", name, "--epochs", 1, "--gate", "open")
    shown = cli(*ask, "--heldout", "held.jsonl")
    assert shown.exit_code == 1
    assert "held-out problems could be measured: down" in shown.stderr
    assert "nan" not in shown.stdout


def test_a_budget_ends_with_3_and_says_how_to_go_on(learn, parsed):
    """The object is printed as usual; the sentence stands on stderr."""
    result = learn("--heldout", "0", "--gate", "open", "--budget-calls", 10, "--json")
    assert result.exit_code == 3
    assert parsed(result)["lessons"] == 0
    assert "the same command with a larger budget goes on from here" in result.stderr
    assert learn("--heldout", "0", "--gate", "open", "--budget-calls", 1000, "--json").exit_code == 0


def test_nothing_learned_ends_with_1(cli):
    """A run in which nothing worked says why, in one sentence."""
    name = play(Model(rollout=lambda _: ProviderError("the endpoint is ill")), "cli")
    ask = ("--grader", "exact", "--model", name, "--heldout", "0", "--gate", "open", "--json")
    result = cli("learn", "learn.jsonl", *ask)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines()[-1] == "error: not one rollout could be graded: the endpoint is ill"


def test_nothing_to_learn_ends_with_0(cli, parsed):
    """Problems that are all solved, or a summarizer that finds nothing, are no failure."""
    name = play(Model(contrast=lambda _: edits()), "cli")
    ask = ("--grader", "exact", "--model", name, "--heldout", "0", "--gate", "open", "--json")
    result = cli("learn", "learn.jsonl", *ask)
    assert result.exit_code == 0
    assert parsed(result)["lessons"] == 0


def test_eval_prints_one_object_with_the_fields_of_the_contract(learn, cli, parsed):
    """Mean, interval, pass@k, pass^k and each control, with and without k."""
    learn("--heldout", "0", "--gate", "open")
    ask = ("eval", "held.jsonl", "--grader", "exact", "--model", "scripted/support.script:cli", "--json")
    result = cli(*ask, "--library", "default", "-k", 3, "--control", "empty,filler,shuffled")
    told = parsed(result)
    assert result.exit_code == 0
    assert {name: type(told[name]) for name in EVAL} == EVAL
    assert set(told) == set(EVAL)
    assert (told["mean"], told["version"], told["k"], told["problems"]) == (1.0, 1, 3, 32)
    assert set(told["usage"]) == USAGE
    assert told["pass_at"]["1"] == told["pass_hat"]["1"] == 1.0
    assert list(told["controls"]) == ["empty", "filler", "shuffled"]
    for control in told["controls"].values():
        assert set(control) == {"mean", "ci", "diff", "diff_ci", "p"}
        assert control["diff"] == 1.0


def test_a_filler_alone_is_not_taken_for_neutral(learn, cli):
    """Words that say nothing can move a model; only beside no lessons is it seen whether they do."""
    learn("--heldout", "0", "--gate", "open")
    ask = ("eval", "held.jsonl", "--grader", "exact", "--model", "scripted/support.script:cli", "--library", "default")
    assert "neutral was not measured" in cli(*ask, "--limit", 2, "--control", "filler").stdout
    assert "neutral" not in cli(*ask, "--limit", 2, "--control", "empty,filler").stdout


def test_eval_without_a_library_measures_the_bare_model(cli, parsed, model):
    """No lessons, version 0."""
    name = play(model, "cli")
    told = parsed(cli("eval", "held.jsonl", "--grader", "exact", "--model", name, "--limit", 1, "--json"))
    assert (told["mean"], told["version"], told["problems"], told["ci"]) == (0.0, 0, 1, [None, None])
    shown = cli("eval", "held.jsonl", "--grader", "exact", "--model", name, "--limit", 1)
    assert "[-, -]" in shown.stdout
    assert "nan" not in shown.stdout


def test_every_eval_of_a_library_is_recorded(learn, cli, parsed):
    """A look at a dataset leaves a trace: a test set that is read often is none any more."""
    learn("--heldout", "0", "--gate", "open")
    cli("eval", "held.jsonl", "--grader", "exact", "--model", "scripted/support.script:cli", "--library", "default@1")
    kinds = [run["kind"] for run in parsed(cli("runs", "list", "--json"))["runs"]]
    assert kinds == ["learn", "eval"]


GRADED = [
    {"answer": "1", "response": "Answer: 1", "equal": True},
    {"gold": "2", "pred": "3", "equal": False},
    {"answer": "4", "response": "5", "equal": True},
]


def test_grade_prints_one_object_with_the_fields_of_the_contract(cli, parsed):
    """Rows, graded, correct, mean, failures; labels add a confusion table."""
    write(Path("plain.jsonl"), [{k: v for k, v in row.items() if k != "equal"} for row in GRADED])
    told = parsed(cli("grade", "plain.jsonl", "--grader", "exact", "--json"))
    assert told == {"rows": 3, "graded": 3, "correct": 1, "mean": pytest.approx(1 / 3), "failures": 0}
    write(Path("labelled.jsonl"), GRADED)
    told = parsed(cli("grade", "labelled.jsonl", "--grader", "exact", "--json"))
    assert told["confusion"]["true_positive"] == told["confusion"]["true_negative"] == 1
    assert told["confusion"]["false_negative"] == 1


def test_grade_gives_each_row_back_with_score_and_reason(cli):
    """On stdout, or in the file named by -o; the count goes to stderr."""
    write(Path("g.jsonl"), GRADED)
    shown = cli("grade", "g.jsonl", "--grader", "exact")
    back = [json.loads(line) for line in shown.stdout.splitlines()]
    assert [row["score"] for row in back] == [1.0, 0.0, 0.0]
    assert back[1]["why"] == "wrong: got '3', expected '2'"
    assert back[0]["response"] == "Answer: 1"
    assert "3 of 3 rows graded, 1 correct, mean 0.333" in shown.stderr
    assert cli("grade", "g.jsonl", "--grader", "exact", "-o", "out.jsonl", "--json").exit_code == 0
    assert [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()] == back


def test_nan_in_a_row_is_refused(cli):
    """NaN is no JSON: the row is named, and nothing passes it on."""
    Path("g.jsonl").write_text('{"answer": "1", "response": "1", "logprob": NaN}\n')
    result = cli("grade", "g.jsonl", "--grader", "exact")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "g.jsonl:1: not JSON" in result.stderr


def refuse(problem: object, rollout: object) -> float:
    """A grader that fails."""
    raise ValueError("broken grader")


def test_grade_counts_what_it_could_not_grade(cli, parsed):
    """A grader that raises leaves rows without a score: failures and no mean; none graded at all is exit code 1."""
    write(Path("g.jsonl"), GRADED)
    result = cli("grade", "g.jsonl", "--grader", "test_json_contract:refuse", "--json")
    told = parsed(result)
    assert (told["graded"], told["failures"], told["mean"]) == (0, 3, None)
    assert result.exit_code == 1
    assert (
        "no row could be graded: grader 'test_json_contract:refuse' raised ValueError: broken grader" in result.stderr
    )


def test_quiet_says_nothing_on_stderr(learn):
    """--quiet leaves the result alone."""
    assert learn("--heldout", "0", "--gate", "open", "--quiet", "--json").stderr == ""


def test_the_page_for_people_ends_with_evidence_bill_and_next_steps(learn):
    """Without --json stdout is a page: held-out numbers, lessons with effects, cost, what to do next."""
    shown = learn("--heldout", "held.jsonl").stdout
    assert "held-out reward: 0.000 [0.000, 0.107] before, 1.000" in shown
    assert "edits: 4 proposed, 4 accepted" in shown
    assert "library 'default', version 1: 4 lessons" in shown
    assert "effect +1.00" in shown
    assert "cost:" in shown
    assert "tfgrpo lessons list" in shown
