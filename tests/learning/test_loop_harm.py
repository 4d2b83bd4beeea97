"""What an epoch does to the library as a whole, and which refusals hold for how long."""

from __future__ import annotations

import pytest
from support.script import TOPICS, Model, edits, learn, lesson, rows, solve, text_of

from experience_db import Edit, Evidence, Library, Op, Store
from tfgrpo.learning import overlap
from tfgrpo.learning.loop import checked_alone
from tfgrpo.types import Step, Verdict

SPOILER = "When the topic is maple, be brief."


@pytest.fixture
def db(tmp_path):
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def spoil(request):
    """Solve, but fail on every topic but maple once the spoiler is in the library."""
    text = text_of(request)
    spoilt = SPOILER in text and "topic maple: what" not in text
    return "Answer: 0" if spoilt else solve(request)


class Sly:
    """A gate that lets everything in but says that it measured: harm must be found by the check after it."""

    async def __call__(self, library, proposals, trial):
        """Accept."""
        return tuple(Verdict("accepted", (p.edit,), "sly") for p in proposals)


def sly(*, seed=0):
    """Return the gate; the configuration names this function."""
    return Sly()


def spoilt(db, **more):
    """Learn the spoiler behind a gate that lets it in."""
    with Store.open(db) as store:
        if not store.libraries():
            store.create_library("default")
            store.import_texts([lesson(topic) for topic in TOPICS], "default")
    model = Model(
        rollout=lambda r: "Answer: 400" if r.attempt % 2 else "Answer: 1",
        gate=spoil,
        contrast=lambda _: edits({"op": "ADD", "text": SPOILER}),
    )
    return learn(model, rows(1), db, heldout=rows(40, 100), gate="tests.learning.test_loop_harm:sly", **more), model


def test_an_epoch_that_did_harm_is_undone_and_said_so(db):
    """The library is again what it was before, lesson for lesson, and the step leads to that version."""
    result, _ = spoilt(db)
    warning = result.steps[-1].verdicts[-1]
    assert "worse as a whole: -0.75" in warning.reason
    assert warning.reason.endswith("it was undone: version 3 is version 1 again")
    assert SPOILER not in {x.text for x in result.library}
    assert (result.library.version, result.steps[-1].version_after) == (3, 3)
    assert result.summary["warnings"] == [warning.reason]
    with Store.open(db, readonly=True) as store:
        assert store.diff("default", 1, 3).added == store.diff("default", 1, 3).removed == ()


def test_a_repeated_run_undoes_nothing_twice(db):
    """The same command again asks nothing and ends in the same version, also where an epoch follows."""
    first, model = spoilt(db, epochs=2)
    asked = len(model.requests)
    again, model = spoilt(db, epochs=2)
    assert asked
    assert model.requests == []
    assert (again.library.version, again.steps[-1].version_after) == (first.library.version, 3)
    assert [[v.reason for v in s.verdicts] for s in again.steps] == [
        [v.reason for v in s.verdicts] for s in first.steps
    ]


def test_harm_outside_of_what_the_gates_saw_is_named_at_the_end_of_the_epoch(db):
    """The verdict names the version to return to, no edit is counted, and the evidence is about the whole version."""
    result, _ = spoilt(db, overrides=["gate.harm=warn"])
    warning = result.steps[-1].verdicts[-1]
    assert (warning.decision, warning.edits) == ("rejected", ())
    assert "worse as a whole: -0.75" in warning.reason
    assert "tfgrpo lessons rollback 1 --library default" in warning.reason
    assert result.summary["edits"]["rejected"] == 0
    assert result.summary["warnings"] == [warning.reason]
    with Store.open(db, readonly=True) as store:
        (found,) = [e for e in store.evidence("default") if e.kind == "harm-check"]
    assert (found.lesson_ids, found.version, found.verdict, found.n) == ((), 2, "rejected", 20)
    assert found.detail["versions"] == [1, 2]


def test_a_good_epoch_is_checked_too_and_its_baselines_are_not_paid_twice(db):
    """The check shares the gate's rewards, says that the library is better, and adds no verdict."""
    model = Model()
    result = learn(model, rows(4), db, heldout=rows(40, 100), gate="paired")
    assert all(v.edits for step in result.steps for v in step.verdicts)
    with Store.open(db, readonly=True) as store:
        (found,) = [e for e in store.evidence("default") if e.kind == "harm-check"]
    assert found.verdict == "accepted"
    assert found.detail["rollouts"]["cached"] > 0
    asked = [(text_of(r), r.sampling.seed) for r in model.requests if r.role == "gate"]
    assert len(asked) == len(set(asked))


@pytest.mark.parametrize("options", [{"gate": "open"}, {"gate": "open", "heldout": 0}])
def test_an_open_gate_is_not_checked(db, options):
    """Who measures nothing pays nothing."""
    model = Model()
    learn(model, rows(4), db, **{"heldout": rows(8, 100), **options})
    assert model.calls["gate"] == 0


def test_harm_holds_for_the_epoch_and_other_refusals_for_the_version():
    """An edit shown to harm is not asked again in its epoch although the library changed; a useless one is."""
    harmful = Verdict("rejected", (Edit(Op.ADD, "a"),), "harmful: -0.400 over 32 pairs")
    useless = Verdict("undecided", (Edit(Op.ADD, "b"),), "undecided: +0.010 over 64 pairs")
    given = [overlap.Refusal(harmful, 3, 0), overlap.Refusal(useless, 3, 0)]
    assert overlap.refusals_in_force(given, Library("l", 3), 0) == (harmful, useless)
    assert overlap.refusals_in_force(given, Library("l", 4), 0) == (harmful,)
    assert overlap.refusals_in_force(given, Library("l", 3), 1) == (harmful, useless)
    assert overlap.refusals_in_force(given, Library("l", 4), 1) == ()


@pytest.mark.parametrize(
    ("kinds", "count", "alone"),
    [(("gate", "elsewhere"), 1, True), (("gate",), 1, False), (("gate", "elsewhere"), 2, False)],
)
def test_an_epoch_of_one_lesson_that_was_looked_at_elsewhere_is_not_checked_twice(kinds, count, alone):
    """Two lessons may harm together, and without a look elsewhere nobody has asked."""
    entered = Verdict("accepted", (Edit(Op.ADD, "a"),), "better", tuple(Evidence(kind, 0.1) for kind in kinds))
    refused = Verdict("rejected", (Edit(Op.ADD, "b"),), "not worth it")
    step = Step(0, 0, (), (), (*[entered] * count, refused), (), 0, 1)
    assert checked_alone([step]) is alone


def test_an_open_question_that_leans_to_yes_is_refused_in_its_epoch_alone():
    """Later epochs ask it again, with fresh rollouts, although the library is the same."""
    leaning = Verdict("undecided", (Edit(Op.ADD, "c"),), "undecided: +0.300", (Evidence("gate", 0.3),))
    given = [overlap.Refusal(leaning, 3, 0)]
    assert overlap.refusals_in_force(given, Library("l", 3), 0) == (leaning,)
    assert overlap.refusals_in_force(given, Library("l", 3), 1) == ()


def test_the_check_of_a_repeated_run_is_kept_once_and_paid_once(db):
    """The same command again asks nothing and adds no evidence."""
    model = Model()
    learn(model, rows(4), db, heldout=rows(40, 100), gate="paired")
    asked = len(model.requests)
    learn(model, rows(4), db, heldout=rows(40, 100), gate="paired")
    assert len(model.requests) == asked
    with Store.open(db, readonly=True) as store:
        assert [e.kind for e in store.evidence("default")].count("harm-check") == 1


def test_a_budget_that_ends_in_the_check_ends_the_run_after_its_last_step(db):
    """The step is kept, the check is not half done, and a larger budget makes it whole."""
    model = Model()
    learn(model, rows(4), db, heldout=rows(40, 100), gate="paired")
    whole = len(model.requests) - 40
    cut = db.with_name("cut.db")
    result = learn(Model(), rows(4), cut, heldout=rows(40, 100), gate="paired", budget_calls=whole - 5)
    assert result.summary["stopped"]
    assert len(result.library) == 4
    with Store.open(cut, readonly=True) as store:
        assert "harm-check" not in [e.kind for e in store.evidence("default")]
    learn(Model(), rows(4), cut, heldout=rows(40, 100), gate="paired")
    with Store.open(cut, readonly=True) as store:
        assert "harm-check" in [e.kind for e in store.evidence("default")]
