"""Controls at equal spend, and libraries and models side by side."""

from __future__ import annotations

import json
import re

import pytest
from support.script import TOPICS, Model, edits, lesson, play, rows, solve, write
from typer.testing import CliRunner

import tfgrpo
from experience_db import Edit, Op, Source, Store
from tfgrpo.cli.app import app
from tfgrpo.errors import UsageError
from tfgrpo.evaluation.controls import NAMES, majority_rollout
from tfgrpo.prompting import templates
from tfgrpo.rollout import Graded
from tfgrpo.studies import transfer
from tfgrpo.types import Failure, FailureKind, Reply, Rollout, Score, Usage


@pytest.fixture
def db(tmp_path):
    """A database whose library has half of the lessons in version 1 and all of them in version 2."""
    path = tmp_path / "x.db"
    with Store.open(path) as store:
        store.create_library("w")
        store.commit("w", [Edit(Op.ADD, lesson(topic)) for topic in TOPICS[:2]], parent=0)
        store.commit("w", [Edit(Op.ADD, lesson(topic)) for topic in TOPICS[2:]], parent=1)
    return path


def graded(answer, value=None, *, failed=False):
    """One rollout with an answer and a score."""
    failure = Failure(FailureKind.TIMEOUT, "late") if failed else None
    return Graded(Rollout("p", 0, answer=answer, failure=failure), Score(value))


def measured(db, model, *controls, k=1):
    """Evaluate the newest version with controls."""
    name = play(model)
    return tfgrpo.evaluate_sync(
        rows(16), library="w", model=name, grader="exact", db=db, controls=controls, k=k
    ).summary


def costly(request):
    """Solve, at 100 tokens a lesson and 60 for the rest."""
    said = solve(request)
    count = sum(lesson(topic) in str(request.messages) for topic in TOPICS)
    return Reply(said, usage=Usage(40 + 100 * count, 20))


def test_the_commonest_final_answer_wins_and_ties_go_to_the_first():
    """Boxes and words around the answer do not split the vote, and failures have none."""
    assert majority_rollout([graded("Answer: 1"), graded(r"\boxed{2}", 1.0), graded("Answer: 2")]).reward == 1.0
    assert majority_rollout([graded("1", 0.25), graded("2", 0.5)]).reward == 0.25
    assert majority_rollout([graded("9", failed=True), graded("9", failed=True), graded("2", 0.5)]).reward == 0.5
    assert majority_rollout([graded("", failed=True)]).rollout.failure is not None


def test_best_of_n_spends_what_the_lessons_cost(db):
    """460 tokens with four lessons buy 460 / 60, so 8 rollouts without any; the oracle is their best."""
    model = Model(evaluate=lambda r: costly(r) if r.attempt != 5 or lesson("maple") in str(r.messages) else right(r))
    control = measured(db, model, "best-of-n")["controls"]["best-of-n"]
    assert control["n"] == 8
    assert control["spend"] == {"unit": "tokens", "library": 460.0, "control": 480.0}
    assert (control["mean"], control["oracle"], control["diff"]) == (0.0, 1.0, 1.0)
    bare = [r for r in model.requests if lesson("maple") not in str(r.messages)]
    assert len(bare) == 16 * 8


def right(request):
    """The right answer, without a lesson."""
    figure = int(re.search(r"comes of (\d+)", str(request.messages))[1])
    return Reply(f"Answer: {2 * figure}", usage=Usage(40, 20))


def test_tips_are_written_once_from_questions_alone(db):
    """As many lessons as the library has, no answer shown, and the tips are named in the result."""
    model = Model(tips=lambda _: edits({"op": "ADD", "text": lesson("maple")}, {"op": "DELETE", "ids": [1]}))
    control = measured(db, model, "tips", k=2)["controls"]["tips"]
    (prompt,) = model.asked("tips")
    assert "4 most useful lessons" in prompt
    assert "comes of 200?" in prompt
    assert "400" not in prompt
    assert control["lessons"] == [lesson("maple")]
    assert control["mean"] == 0.25
    assert control["diff"] == 0.75


def test_tips_that_cannot_be_read_cost_the_control_alone(db):
    """The evaluation stands, the control says why it has no numbers, and nothing is recorded for it."""
    summary = measured(db, Model(tips=lambda _: "no"), "tips", "empty")
    assert summary["mean"] == 1.0
    assert summary["controls"]["tips"]["mean"] is None
    assert summary["controls"]["tips"]["failure"]
    with Store.open(db, readonly=True) as store:
        assert [(e.control, e.mean) for e in store.evaluations("w")] == [("", 1.0), ("empty", 0.0)]


def test_tips_are_asked_for_one_by_one_where_a_prompt_set_wants_it(db):
    """Each call sees the tips so far; repetitions and unreadable replies are passed over, and the calls are bounded."""
    said = [edits({"op": "ADD", "text": lesson("maple")}), "no", edits({"op": "ADD", "text": lesson("maple")}), "no"]
    model = Model(tips=lambda r: said[r.attempt] if r.attempt < 4 else edits({"op": "ADD", "text": lesson("velvet")}))
    asked = {"library": "w", "model": play(model), "grader": "exact", "db": db, "overrides": ["prompts=tiny"]}
    control = tfgrpo.evaluate_sync(rows(16), controls=("tips",), **asked).summary["controls"]["tips"]
    assert control["lessons"] == [lesson("maple"), lesson("velvet")]
    assert control["mean"] == 0.5
    assert {r.attempt for r in model.requests if r.role == "tips"} == set(range(8))
    first, *_, last = model.asked("tips")
    assert "[1]" not in first
    assert f"[2] {lesson('velvet')}" in last


@pytest.mark.slow
def test_the_embedded_model_writes_tips_that_are_measured(tmp_path):
    """What it writes without attempts is advice without a meaning for the operators, and it does not help."""
    with Store.open(tmp_path / "t.db") as store:
        store.create_library("w", templates.load("tiny").source("lessons"))
        store.commit("w", [Edit(Op.ADD, "Treat glorp as max."), Edit(Op.ADD, "Treat zib as min.")], parent=0)
    problems = [
        {"question": f"Compute {i} {word} {j}.", "answer": str(f(i, j))}
        for word, f in (("glorp", max), ("zib", min))
        for i in range(1, 7)
        for j in range(1, 7)
        if i != j
    ]
    found = tfgrpo.evaluate_sync(
        problems, library="w", model="tiny", grader="exact", db=tmp_path / "t.db", controls=("tips",)
    )
    control = found.summary["controls"]["tips"]
    assert control["lessons"]
    assert control["diff_ci"][0] > 0.3


def test_the_same_library_on_other_seeds_shows_what_nothing_looks_like(db):
    """A/A: new seed indices behind those of the evaluation, and a difference inside its noise."""

    def lucky(request):
        return solve(request) if request.sampling.seed % 3 else "Answer: 0"

    model = Model(evaluate=lucky)
    control = measured(db, model, "same", k=2)["controls"]["same"]
    assert len({r.sampling.seed for r in model.requests}) == 16 * 4
    assert {r.attempt for r in model.requests} == {0, 1, 2, 3}
    assert control["diff_ci"][0] <= 0 <= control["diff_ci"][1]
    assert 0.3 < control["mean"] < 1


def test_an_unknown_control_is_refused_before_any_call(db):
    """The message names those there are."""
    model = Model()
    with pytest.raises(UsageError, match="best-of-n"):
        measured(db, model, "placebo")
    assert not model.requests
    assert len(NAMES) == 6


def test_every_reading_is_logged_that_without_lessons_too(db):
    """Who read a dataset how often can be told from the database."""
    name = play(Model())
    for library in ("", "w@1", "w"):
        tfgrpo.evaluate_sync(rows(8), library=library, model=name, grader="exact", db=db)
    with Store.open(db, readonly=True) as store:
        found = [(e.library, e.version, e.mean) for e in store.evaluations()]
    assert found == [(None, None, 0.0), ("w", 1, 0.5), ("w", 2, 1.0)]


def test_an_evaluation_says_what_makes_its_figures_too_good(db, tmp_path):
    """Problems that taught the library are named, and so is a set that many libraries were measured on."""
    with Store.open(db) as store:
        sources = (Source("maple-200", (0,)), Source("granite-201", (1,)))
        store.commit("w", [Edit(Op.ADD, "Mind the gap.", sources=sources)], parent=2)
    file = write(tmp_path / "p.jsonl", rows(8))
    common = (file, "--grader", "exact", "--db", db, "--model", play(Model(), "noted"), "--library")
    first = run(*common, "w")
    assert "note: 2 of the 8 problems taught lessons of this library" in first.stderr
    assert "measured on" not in first.stderr
    assert "note" not in run(*common, "w@1").stderr
    run(*common, "w@2")
    assert "3 libraries and models were measured on" in run(*common, "w@2", "--json").stderr


def test_an_evaluation_on_what_a_run_has_seen_is_named_and_as_a_test_refused(db, tmp_path):
    """Learning problems are known by id, words and near copies, held-out ones by id and words; no rollout is made."""
    road = "On the long road between the old mill and the wide river a man counts what he has, then what he had before"
    long = f"{road}, and says with a sigh that it is late now. In topic maple: what comes of 700?"
    learned = [*rows(8), {"id": "long", "question": long, "answer": "1400"}]
    asked = {"model": play(Model(), "seer"), "grader": "exact", "db": db, "library": "seen"}
    tfgrpo.learn_sync(learned, heldout=rows(8, start=50), gate="open", epochs=1, group_size=4, **asked)
    fresh = rows(8, start=90)
    assert tfgrpo.evaluate_sync(fresh, test=True, **asked).notes == ()
    copies = {
        "taught it ('maple-200')": rows(1)[0],
        "taught it ('other' (same text as 'maple-200'))": {**rows(1)[0], "id": "other"},
        "(same ngram as 'long')": {"question": f"Say: {long}", "answer": "1400"},
        "held-out problems ('maple-250')": rows(1, start=50)[0],
        "held-out problems ('x' (same text as 'maple-250'))": {**rows(1, start=50)[0], "id": "x"},
    }
    for said, row in copies.items():
        model = Model()
        with pytest.raises(UsageError, match=re.escape(said)):
            tfgrpo.evaluate_sync([*fresh, row], test=True, **asked | {"model": play(model, "seer")})
        assert not model.requests
        (note,) = tfgrpo.evaluate_sync([*fresh, row], **asked).notes[:1]
        assert note.endswith("its figures look too good")
    with Store.open(db, readonly=True) as store:
        counts = [e.summary["seen"] for e in store.evaluations("seen")]
    assert counts[0] == {"taught": 0, "gated": 0}
    assert counts[-1] == {"taught": 0, "gated": 1}


async def test_the_matrix_compares_what_can_be_compared(db):
    """Two versions under two models: against no lessons, against the first version, against the first model."""
    able, deaf = play(Model(), "able"), play(Model(evaluate=lambda _: "Answer: 0"), "deaf")
    found = await transfer.transfer_matrix(rows(16), libraries=["w@1", "w"], models=[able, deaf], grader="exact", db=db)
    assert [cell["mean"] for cell in found["cells"]] == [0.0, 0.5, 1.0, 0.0, 0.0, 0.0]
    told = {(c["question"], c["after"]["library"], c["after"]["model"][-4:]): c["diff"] for c in found["comparisons"]}
    assert told == {
        ("lessons", "w@1", "able"): 0.5,
        ("lessons", "w", "able"): 1.0,
        ("lessons", "w@1", "deaf"): 0.0,
        ("lessons", "w", "deaf"): 0.0,
        ("library", "w", "able"): 0.5,
        ("library", "w", "deaf"): 0.0,
        ("model", "no lessons", "deaf"): 0.0,
        ("model", "w@1", "deaf"): -0.5,
        ("model", "w", "deaf"): -1.0,
    }
    with Store.open(db, readonly=True) as store:
        kept = [(e.version, e.estimate, e.detail["model"][-4:]) for e in store.evidence("w") if e.kind == "transfer"]
    assert kept == [(1, 0.5, "able"), (2, 1.0, "able"), (1, 0.0, "deaf"), (2, 0.0, "deaf")]


async def test_the_matrix_again_stores_nothing_twice(db):
    """The same question to the same models leaves the same evidence."""
    asked = {"libraries": ["w"], "models": [play(Model(), "once")], "grader": "exact", "db": db}
    first = await transfer.transfer_matrix(rows(8), **asked)
    second = await transfer.transfer_matrix(rows(8), **asked)
    assert first["comparisons"] == second["comparisons"]
    with Store.open(db, readonly=True) as store:
        assert len(store.evidence("w")) == 1


async def test_naming_a_library_twice_is_refused(db):
    """It would be compared with itself."""
    with pytest.raises(UsageError, match="named twice"):
        await transfer.transfer_matrix(rows(4), libraries=["w", "w"], models=["tiny"], grader="exact", db=db)


def run(*command):
    """Run `tfgrpo eval`."""
    return CliRunner().invoke(app, ["eval", *map(str, command)])


def test_the_command_prints_matrix_and_differences(db, tmp_path):
    """Two versions on the command line give a table, the differences in words and a power note."""
    file = write(tmp_path / "p.jsonl", rows(16))
    common = (file, "--grader", "exact", "--db", db, "--model", play(Model(), "shown"))
    found = run(*common, "--library", "w@1", "--library", "w@2")
    assert found.exit_code == 0, found.output
    assert "w@2 minus w@1: +50.0 points" in found.stdout
    assert re.search(r"no lessons +w@1 +w@2", found.stdout)
    assert "at n=16 you can see" in found.stdout
    told = json.loads(run(*common, "--library", "w@1", "--library", "w@2", "--json").stdout)
    assert told["libraries"] == ["no lessons", "w@1", "w@2"]
    refused = run(*common, "--library", "w@1", "--library", "w@2", "--control", "empty")
    assert refused.exit_code == 2
    assert "one library and one model" in refused.output


def test_the_command_tells_what_a_control_spent(db, tmp_path):
    """Best-of-n is printed with its n, what both sides cost, and the oracle's mean."""
    file = write(tmp_path / "p.jsonl", rows(16))
    model = play(Model(evaluate=costly, tips=lambda _: "no"), "spender")
    found = run(
        file, "--grader", "exact", "--db", db, "--model", model, "--library", "w", "--control", "best-of-n,tips"
    )
    assert "n=8: 480 tokens a problem, 460 with lessons" in found.stdout
    assert "control tips: could not be made" in found.stdout
    teller = play(Model(evaluate=costly, tips=lambda _: edits({"op": "ADD", "text": lesson("maple")})), "teller")
    told = run(file, "--grader", "exact", "--db", db, "--model", teller, "--library", "w", "--control", "tips").stdout
    assert f"160 tokens a rollout, 460 with lessons; the tips: {lesson('maple')}" in told
