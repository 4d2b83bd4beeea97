"""Failures in the loop are typed and counted, cost what they touch alone, and are never a reward of 0."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.script import TOPICS, Model, agree, edits, learn, lesson, propose, rows, solve, text_of

from experience_db import Store
from tfgrpo.errors import NothingLearned, ProviderError
from tfgrpo.types import FailureKind, Request


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def failing(kind: FailureKind, every: int = 4) -> object:
    """A rollout role that fails for good at each `every`-th attempt index."""

    def say(request: Request) -> object:
        return ProviderError("the endpoint is ill", kind) if request.attempt % every == every - 1 else solve(request)

    return say


@pytest.mark.parametrize("kind", [FailureKind.TIMEOUT, FailureKind.RATE_LIMITED, FailureKind.REFUSED_REQUEST])
def test_a_failed_rollout_is_a_typed_failure_and_never_a_zero(db, kind):
    """It has no reward and no part in mean, advantage or contrast; it is counted by its kind."""
    model = Model(rollout=failing(kind))
    result = learn(model, rows(1), db)
    (group,) = result.steps[0].groups_P
    assert group.rewards_G[:3] == (1.0, 0.0, 1.0)
    assert math.isnan(group.rewards_G[3])
    assert group.advantages_G[3] == 0.0
    assert group.rollouts_G[3].failure.kind == kind
    assert result.summary["failures"] == {kind.value: 1}
    assert result.summary["reward"]["first"] == pytest.approx(2 / 3)
    assert "Attempt 3" in model.asked("contrast")[0]
    assert "Attempt 4" not in model.asked("contrast")[0]
    with Store.open(db, readonly=True) as store:
        (stored,) = store.groups(result.summary["run"])
    assert stored["rewards"] == [1.0, 0.0, 1.0, None]
    assert stored["rollouts"][3]["failure"]["kind"] == kind.value


def test_a_group_with_one_graded_rollout_is_failed_and_not_contrasted(db):
    """One reward is no contrast, so its group is counted as failed and the others go on."""
    lonely = Model(rollout=lambda r: ProviderError("gone") if "maple" in text_of(r) and r.attempt else solve(r))
    result = learn(lonely, rows(2), db)
    assert result.summary["groups"] == {"kept": 1, "flat": 0, "failed": 1, "filtered": 0}
    assert lonely.calls["contrast"] == 1
    assert result.summary["failures"] == {"provider": 3}


def test_groups_that_all_lack_a_second_reward_fail_the_run(db):
    """The sentence does not claim that nothing was graded."""
    model = Model(rollout=lambda r: ProviderError("gone") if r.attempt else solve(r))
    with pytest.raises(NothingLearned, match=r"^no group has two graded rollouts: gone$"):
        learn(model, rows(2), db)


def test_an_empty_reply_is_a_failure(db):
    """HTTP 200 without text is not a wrong answer."""
    model = Model(rollout=lambda r: " " if r.attempt == 1 else solve(r))
    result = learn(model, rows(1), db)
    assert result.summary["failures"] == {"empty": 1}


def test_when_every_rollout_fails_the_run_fails_with_one_sentence(db):
    """Nothing graded is an error that names the commonest reason, and the run is recorded as failed."""
    model = Model(rollout=lambda _: ProviderError("the endpoint is ill"))
    with pytest.raises(NothingLearned, match=r"^not one rollout could be graded: the endpoint is ill$"):
        learn(model, rows(2), db)
    with Store.open(db, readonly=True) as store:
        assert store.runs()[0].status == "failed"
        assert store.library("default").version == 0


def test_when_every_contrast_is_malformed_the_run_fails(db):
    """A summarizer that never answers in form has taught nothing."""
    with pytest.raises(NothingLearned, match="every contrast failed, 2 in all"):
        learn(Model(contrast=lambda _: "Sure! Here is my opinion."), rows(2), db)


def test_one_malformed_contrast_costs_its_group_alone(db):
    """The other groups of the batch still teach, and the loss is counted."""
    model = Model(contrast=lambda r: "no json" if "topic maple" in text_of(r) else propose(r))
    result = learn(model, rows(4), db)
    assert {x.text for x in result.library} == {lesson(t) for t in TOPICS if t != "maple"}
    assert result.summary["edits"]["malformed"] == 1
    assert model.calls["contrast"] == 5


def test_the_repair_of_a_malformed_reply_quotes_the_fault(db):
    """The second question shows the model its reply and what was wrong with it; a good second reply counts."""
    model = Model(contrast=lambda r: propose(r) if len(r.messages) > 1 else "Sorry, no.")
    result = learn(model, rows(1), db)
    assert "no JSON in the reply" in model.asked("contrast")[1]
    assert "Sorry, no." in model.asked("contrast")[1]
    assert len(result.library) == 1


def test_one_malformed_operation_costs_itself_alone(db):
    """The good edit of a reply enters, the bad one is counted."""
    bad = {"op": "REPLACE", "text": "When lost, look around."}
    model = Model(contrast=lambda _: edits(bad, {"op": "ADD", "text": lesson("maple")}))
    result = learn(model, rows(1), db)
    assert [x.text for x in result.library] == [lesson("maple")]
    assert result.summary["edits"]["malformed"] == 1


def test_a_failing_consolidation_costs_its_judgement_alone(db):
    """Without a usable consolidation the proposals pass the checks in code as they are."""
    result = learn(Model(consolidate=lambda _: ProviderError("gone")), rows(4), db)
    assert len(result.library) == 4
    assert result.summary["failures"] == {"provider": 1}


@pytest.mark.parametrize("role", ["rollout", "contrast", "consolidate"])
def test_a_finished_run_stays_as_it_is_where_calls_had_failed(db, role):
    """Repeated, it asks nothing again and says the same; a run of another name tries the failed calls once more."""
    answer = {"rollout": solve, "contrast": propose, "consolidate": agree}[role]

    def moody(request: Request) -> object:
        ill = role == "consolidate" or ("topic maple" in text_of(request) and request.attempt in (0, 1))
        return ProviderError("down") if ill else answer(request)

    first = learn(Model(**{role: moody}), rows(4), db)
    healthy = Model()
    again = learn(healthy, rows(4), db)
    assert healthy.requests == []
    assert again.library == first.library
    for part in ("groups", "edits", "lessons", "reward", "failures"):
        assert again.summary[part] == first.summary[part]
    repaired = learn(healthy, rows(4), db, run="again", library="other")
    assert 0 < len(healthy.requests) <= 4
    assert len(repaired.library) == 4
