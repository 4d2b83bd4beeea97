"""A judge from the outside: its own model, its check before a run, its journal, its budget, its gaming suite."""

from __future__ import annotations

import json

import pytest
from graders.judges import as_server, careful, gullible, prompt_of, verdict
from support.script import Model, play, rows, write
from support.server import Fault, Server

from experience_db import Store

KEYS = ("-s", "grader.model=openai/judge")


def by_reference(request):
    """CORRECT where the reference stands in the answer."""
    prompt = prompt_of(request)
    if "## The reference" not in prompt:
        return careful(request)
    reference = prompt.split("## The reference")[1].split("\n")[3]
    answer = prompt.split("## The answer")[1]
    return (
        careful(request)
        if not reference.isdigit() or reference in ("100", "408")
        else (verdict("CORRECT" if reference in answer else "INCORRECT"))
    )


@pytest.fixture
def answers(tmp_path):
    """A file of two answers."""
    return write(
        tmp_path / "answers.jsonl",
        [
            {"question": "Which river?", "answer": "the Danube", "response": "It is the Danube.", "equal": True},
            {"question": "Which river?", "answer": "the Danube", "response": "The Rhine.", "equal": False},
        ],
    )


def test_a_file_is_judged_over_the_network_once(cli, parsed, answers, monkeypatch):
    """A judge at an endpoint of its own grades a file; the second time the journal answers every call."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Server(reply=as_server(careful)) as server:
        command = ["grade", answers, "--grader", "judge", *KEYS, "-s", f"grader.base_url={server.url}", "--json"]
        first, second = parsed(cli(*command)), parsed(cli(*command))
        assert server.chats == 14  # twelve known pairs, two answers
    assert first["confusion"]["true_positive"] == first["confusion"]["true_negative"] == 1
    assert first["calls"] == {"judge": {"new": 14, "replayed": 0}}
    assert second["calls"] == {"judge": {"new": 0, "replayed": 14}}
    assert {k: first[k] for k in ("graded", "mean")} == {k: second[k] for k in ("graded", "mean")}


def test_an_outage_of_the_judge_is_no_grade(cli, parsed, answers, monkeypatch):
    """Rows whose call failed for good are unscored with the reason, and counted as failures."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    down = lambda _, body: Fault.CONTEXT if "The Rhine." in body["messages"][0]["content"] else None  # noqa: E731
    with Server(reply=as_server(careful), faults=down) as server:
        options = ("-s", f"grader.base_url={server.url}", "-s", "grader.self_check=false")
        told = parsed(cli("grade", answers, "--grader", "judge", *KEYS, *options, "--json"))
    assert (told["graded"], told["failures"], told["mean"]) == (1, 1, 1.0)


def test_the_suite_tells_a_gullible_judge_from_a_careful_one(cli, parsed):
    """--selfcheck prints the false-accept rate with its interval, by attack, and what happens to right answers."""
    rates = {}
    for judge in (careful, gullible):
        model = play(Model(judge=judge), judge.__name__)
        told = parsed(cli("grade", "--selfcheck", "--grader", "judge", "-s", f"grader.model={model}", "--json"))
        assert told["right_answers"]["refused"] == told["wrong_answers"]["accepted"] == 0
        rates[judge.__name__] = told["false_accept_rate"]
    assert rates["careful"] == 0.0
    assert rates["gullible"] > 0.4
    shown = cli("grade", "--selfcheck", "--grader", "judge", "-s", f"grader.model={play(Model(judge=gullible), 'g')}")
    assert "claim                        accepted 6 of 6" in shown.stdout
    assert "false-accept rate: 0." in shown.stdout


def test_a_run_ends_in_one_sentence_when_the_judge_cannot_judge(cli):
    """Before anything is learned the judge decides known pairs; one that fails them costs twelve calls and no more."""
    model, judge = Model(), Model(judge=lambda request: verdict("CORRECT"))
    asked = ["--grader", "judge", "-s", f"grader.model={play(judge, 'yes')}", "--model", play(model, "m"), "--quiet"]
    result = cli("learn", "learn.jsonl", *asked)
    assert result.exit_code == 1
    assert "the judge missed 6 of 12 known pairs and nothing was run" in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("error:")]) == 1
    assert (len(model.requests), len(judge.requests)) == (0, 12)
    assert cli("eval", "held.jsonl", *asked[:-1]).exit_code == 1


def test_a_run_is_graded_by_its_judge(cli, parsed):
    """The judge's calls are a role of their own in the bill, in the journal and nowhere else."""
    judge = Model(judge=by_reference)
    result = cli(
        "learn", "learn.jsonl", "--grader", "judge", "-s", f"grader.model={play(judge, 'j')}",
        "--model", play(Model(), "m"), "--gate", "open", "--heldout", 0, "--epochs", 1, "--json", "--quiet",
    )  # fmt: skip
    told = parsed(result)
    assert told["calls"]["judge"]["new"] == len(judge.requests) > 12
    assert told["groups"]["kept"] == 4
    assert told["lessons"] == 4
    with Store.open("experience.db", readonly=True) as store:
        (run,) = store.runs()
        assert run.config["grader"] == "judge"
        assert run.config["grading"]["model"].startswith("scripted/")


def test_the_judges_own_budget_ends_the_run_cleanly(cli):
    """`grader.calls` bounds the judge alone; the same command with a larger one goes on and pays nothing twice."""
    judge = Model(judge=by_reference)
    asked = ["learn", "learn.jsonl", "--grader", "judge", "-s", f"grader.model={play(judge, 'b')}", "--quiet"]
    asked += ["--model", play(Model(), "m"), "--gate", "open", "--heldout", 0, "--epochs", 1]
    assert cli(*asked, "-s", "grader.calls=14").exit_code == 3
    assert len(judge.requests) == 14
    assert cli(*asked, "-s", "grader.calls=100").exit_code == 0
    keys = [json.dumps([r.messages, r.attempt], default=str) for r in judge.requests]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["grade", "learn.jsonl", "--grader", "judge"], "grader 'judge' needs a model of its own"),
        (["grade", "--grader", "exact"], "no file named; give a .jsonl or .csv file of answers, or --selfcheck"),
        (["grade", "learn.jsonl", "--selfcheck", "--grader", "exact"], "--selfcheck brings its own answers"),
        (["grade", "x.jsonl", "--grader", "judge", *KEYS, "-s", "grader.mode=duel"], "grader.mode is 'duel'"),
        (["grade", "x.jsonl", "--grader", "judge", *KEYS, "-s", "grader.votes=0"], "grader.votes is 0"),
        (["grade", "x.jsonl", "--grader", "judge", *KEYS, "-s", "grader.vote=1"], "did you mean grader.votes"),
        (["grade", "x.jsonl", "--grader", "judge", *KEYS, "-s", "grader.rubric=no.md"], "cannot read the rubric no.md"),
        (["grade", "x.jsonl", "--grader", "weighted"], "grader 'weighted' needs its parts"),
        (["grade", "x.jsonl", "--grader", "numeric", "-s", "grader.options.tol=1"], "it knows: rel_tol, abs_tol"),
        (["grade", "x.jsonl", "--grader", "exact"], "no file 'x.jsonl'"),
    ],
)
def test_wrong_input_ends_with_exit_code_2(cli, arguments, said):
    """What is wrong is said in one sentence, and no database is made."""
    result = cli(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert not list(__import__("pathlib").Path.cwd().glob("*.db"))


def test_rows_get_their_named_scores(cli, tmp_path):
    """Graders with several scores show them by name in every row."""
    file = write(tmp_path / "qa.jsonl", [{"answer": "the Danube", "response": "river Danube"}])
    row = json.loads(cli("grade", file, "--grader", "web_qa").stdout)
    assert row["parts"] == {"em": 0.0, "f1": pytest.approx(2 / 3)}
    parts = "grader.parts={exact=1.0, web_qa=0.5}"
    row = json.loads(cli("grade", file, "--grader", "weighted", "-s", parts).stdout)
    assert row["score"] == pytest.approx(1 / 3)
    assert rows(1)


def test_an_audit_checks_its_judge_too(cli):
    """Measuring lessons with a judge that cannot judge ends the same way."""
    play(Model(judge=by_reference), "j")
    asked = ["--grader", "judge", "-s", "grader.model=scripted/support.script:j", "--model", play(Model(), "m")]
    cli("learn", "learn.jsonl", *asked, "--gate", "open", "--heldout", 0, "--epochs", 1, "--quiet")
    play(Model(judge=lambda request: verdict("ABSTAIN")), "k")
    asked[3] = "grader.model=scripted/support.script:k"
    result = cli("lessons", "audit", "held.jsonl", *asked)
    assert result.exit_code == 1
    assert "the judge missed 12 of 12 known pairs" in result.stderr
