"""`lessons audit`: measured effects are stored as evidence, and only the gate deletes."""

import json
import re

import pytest
from typer.testing import CliRunner

from experience_db import Edit, Op, Store
from tfgrpo.cli.app import app

MODEL = "scripted/tests.studies.test_audit:solver"
RIGHT, WRONG, IDLE = "Treat glorp as sum.", "Treat dax as gap.", "Stay calm and steady."


def solver(request):
    """Right about dax without help, misled by the wrong lesson, right about glorp only when told."""
    prompt = " ".join(m["content"] for m in request.messages)
    question = request.messages[-1]["content"]
    a, b = re.findall(r"\d+", question)[-2:]
    right = RIGHT in prompt if "glorp" in question else WRONG not in prompt
    return f"\\boxed{{{int(a) + int(b) if right else 99}}}"


def changeable(request):
    """As `solver`, but when the gate asks, the wrong lesson misleads nobody."""
    return solver(request) if request.role == "audit" else solver_without(request)


def solver_without(request):
    """Right about everything."""
    a, b = re.findall(r"\d+", request.messages[-1]["content"])[-2:]
    return f"\\boxed{{{int(a) + int(b)}}}"


@pytest.fixture
def place(tmp_path):
    """A database with three lessons, and 48 problems of which each operator has a quarter."""
    problems = tmp_path / "problems.jsonl"
    names = ("glorp", "dax", "wug", "fep")
    rows = [{"id": f"p{i}", "question": f"{i} {names[i % 4]} {i + 1}", "answer": str(2 * i + 1)} for i in range(48)]
    problems.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with Store.open(tmp_path / "x.db") as store:
        library = store.create_library("w")
        store.commit("w", [Edit(Op.ADD, text) for text in (RIGHT, WRONG, IDLE)], parent=library.version)
    return tmp_path


def audit(place, *options, model=MODEL):
    """Run the command; returns what it printed."""
    command = ["lessons", "audit", str(place / "problems.jsonl"), "--library", "w", "--db", str(place / "x.db")]
    result = CliRunner().invoke(app, [*command, "--model", model, "--grader", "exact", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_each_lesson_gets_evidence_with_its_sign(place):
    """The right lesson helps, the wrong one harms and is nominated, the idle one does neither; all is stored."""
    found = json.loads(audit(place, "--json"))
    assert [row["estimate"] for row in found["lessons"]] == [1.0, -1.0, 0.0]
    assert found["nominated"] == [2]
    assert found["after"] == found["version"] == 1
    with Store.open(place / "x.db", readonly=True) as store:
        stored = store.evidence("w", 1)
        assert [(e.kind, e.estimate, e.n) for e in stored] == [("leave-one-out", 1.0, 12)]
        assert stored[0].detail["model"] == MODEL
        assert store.run(stored[0].run).status == "finished"
        assert len(store.library("w")) == 3


def test_the_same_audit_again_pays_nothing_and_stores_nothing_twice(place):
    """The journal answers, and evidence of the same run is kept once."""
    first, second = json.loads(audit(place, "--json")), json.loads(audit(place, "--json"))
    assert first["lessons"] == second["lessons"]
    with Store.open(place / "x.db", readonly=True) as store:
        assert len(store.evidence("w")) == 3


def test_several_models_are_set_side_by_side(place):
    """Each model's effects are stored with its name, a lesson that serves one alone is marked, and none is deleted."""
    able = "scripted/tests.studies.test_audit:solver_without"
    found = json.loads(audit(place, "--model", able, "--json"))
    assert found["models"] == [MODEL, able]
    effects = [[row["effects"][model]["estimate"] for model in (MODEL, able)] for row in found["lessons"]]
    assert effects == [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]]
    assert [row["apart"] for row in found["lessons"]] == [True, True, False]
    with Store.open(place / "x.db", readonly=True) as store:
        assert [(e.detail["model"], e.estimate) for e in store.evidence("w", 2)] == [(MODEL, -1.0), (able, 0.0)]
        assert len(store.library("w")) == 3
    said = audit(place, "--model", able)
    assert re.search(r"1 +\+1\.000 \[.*\] +\+0\.000 \[.*Treat glorp as sum\.  \(not the same for all\)", said)
    listed = CliRunner().invoke(app, ["lessons", "list", "--library", "w", "--db", str(place / "x.db")]).stdout
    assert f"(leave-one-out with {able}, n=12)" in listed


def test_a_deletion_is_decided_for_one_model(place):
    """--confirm with two models is refused before anything is asked."""
    options = ("--model", "tiny", "--model", MODEL, "--confirm", "--grader", "exact")
    command = ["lessons", "audit", str(place / "problems.jsonl"), "--library", "w", "--db", str(place / "x.db")]
    refused = CliRunner().invoke(app, [*command, *options])
    assert refused.exit_code == 2
    assert "one model" in refused.output


def test_dropout_measures_all_lessons_with_the_same_rollouts(place):
    """Eight rollouts per problem serve every lesson."""
    found = json.loads(audit(place, "--dropout", "--json"))
    assert [row["estimate"] for row in found["lessons"]] == pytest.approx([1.0, -1.0, 0.0], abs=0.05)
    assert {row["kind"] for row in found["lessons"]} == {"dropout"}
    assert found["rollouts"] == 48 * 8


def test_the_gate_confirms_a_deletion(place):
    """With --confirm the wrong lesson goes, by a DELETE that carries its evidence; the right one stays."""
    said = audit(place, "--confirm")
    assert "gate on deleting 2: accepted" in said
    assert "now at version 2" in said
    with Store.open(place / "x.db", readonly=True) as store:
        assert [lesson.text for lesson in store.library("w")] == [RIGHT, IDLE]
        assert [e.kind for e in store.evidence("w", 2)] == ["leave-one-out", "gate", "elsewhere"]


def test_a_nomination_that_fresh_rollouts_do_not_confirm_deletes_nothing(place):
    """The gate rolls out anew; what it does not accept is set aside with its reason, and the lesson stays."""
    said = audit(place, "--confirm", model="scripted/tests.studies.test_audit:changeable")
    assert re.search("gate on deleting 2: (rejected|undecided)", said)
    with Store.open(place / "x.db", readonly=True) as store:
        assert store.library("w").version == 1
        (kept,) = store.unapplied("w")
        assert (kept.edit.op, kept.edit.ids) == (Op.DELETE, (2,))
        assert kept.reason


def test_the_table_names_what_it_nominates(place):
    """A person reads effect, interval, problems and the way on."""
    said = audit(place)
    assert re.search(r"1 +\+1\.000 +\[\+0\.\d+, \+1\.\d+\] +12 +word", said)
    assert "nominated for deletion: 2; --confirm lets the gate decide" in said


def test_an_empty_library_is_refused(place):
    """There is nothing to audit, and the run says that it failed."""
    with Store.open(place / "x.db") as store:
        store.create_library("empty")
    command = ["lessons", "audit", str(place / "problems.jsonl"), "--library", "empty", "--db", str(place / "x.db")]
    result = CliRunner().invoke(app, [*command, "--model", MODEL, "--grader", "exact"])
    assert result.exit_code == 2
    assert "has no lessons to audit" in result.output
