"""Runs: how they start, go on and end, and what was recorded on the way."""

from __future__ import annotations

import math

import pytest

from experience_db import Evaluation, RunConflict, RunStep, UnknownLibrary, UnknownRun

START = {
    "name": "night",
    "kind": "learn",
    "fingerprint": "f",
    "config": {"group_size": 5, "model": {"name": "tiny"}},
    "library": "web",
    "base_version": 0,
    "dataset": "d.jsonl",
}


def rollout(index: int, **more) -> dict:
    """A rollout as `asdict` makes it, with everything that is kept."""
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 3, "usd": None}
    base = {
        "problem_id": "p1",
        "index": index,
        "messages": [{"role": "user", "content": "☃"}],
        "answer": f"a{index}",
        "finish_reason": "stop",
        "usage": usage,
        "seconds": 0.5,
        "failure": None,
        "tainted": False,
        "reply": {"text": "a", "token_ids": [1, 2]},
    }
    return base | more


def group(store, step: int = 0, **more) -> int:
    """Record a group of two rollouts, one of which failed."""
    failure = {"kind": "timeout", "message": "no answer in 60 s"}
    facts = {
        "problem": {"id": "p1", "question": "1+1?"},
        "status": "kept",
        "version": 1,
        "rollouts": [rollout(0, tainted=True), rollout(1, failure=failure, answer="")],
        "scores": [{"value": 1.0, "why": "equal", "name": "exact"}, {"value": None, "failure": failure}],
        "rewards": [1.0, math.nan],
        "advantages": [0.5, 0.0],
    }
    return store.record_group("r1", step, **facts | more)


def test_run_keeps_what_it_was_started_with(store):
    """A started run is `running` and holds its configuration; it is found by id and by name."""
    run = store.start_run("r1", **START)
    assert (run.status, run.config, run.finished) == ("running", START["config"], None)
    assert store.run("r1") == run == store.find_run("night")
    assert store.find_run("day") is None


def test_finished_run_goes_on_when_started_again(store):
    """The same id and fingerprint sets a run back to running; another fingerprint raises RunConflict."""
    store.start_run("r1", **START)
    done = store.finish_run("r1", "budget", {"steps": 3, "reward": math.nan})
    assert (done.status, done.summary) == ("budget", {"steps": 3, "reward": None})
    assert done.finished > done.started
    again = store.start_run("r1", **START)
    assert (again.status, again.finished, again.started) == ("running", None, done.started)
    with pytest.raises(RunConflict, match="take another run id"):
        store.start_run("r1", **START | {"fingerprint": "g"})
    assert store.runs() == (again,)


def test_latest_run_of_a_name_is_found(store):
    """find_run returns the run that started last; runs lists all in order."""
    store.start_run("r1", **START)
    store.start_run("r2", **START | {"fingerprint": "g"})
    assert store.find_run("night").id == "r2"
    assert [run.id for run in store.runs()] == ["r1", "r2"]


def test_unknown_names_are_refused(store, run):
    """A run needs a library that exists, an ending a run that exists, a record a run that was started."""
    with pytest.raises(UnknownLibrary):
        store.start_run("r9", **START | {"library": "nope"})
    with pytest.raises(UnknownRun, match="no run 'r9'"):
        store.finish_run("r9", "finished", {})
    with pytest.raises(UnknownRun, match="call start_run first"):
        store.record_step("r9", 0, epoch=0, version_before=0, version_after=0, summary={})
    with pytest.raises(UnknownRun):
        store.record_group("r9", 0, problem={"id": "p"}, status="kept", version=0, rollouts=[])


def test_steps_come_back_in_order_and_once(store, run):
    """A step recorded again replaces itself."""
    for index, after in ((1, 1), (0, 0), (1, 2)):
        store.record_step(run, index, epoch=0, version_before=0, version_after=after, summary={"kept": after})
    steps = store.steps(run)
    assert [step.version_after for step in steps] == [0, 2]
    assert isinstance(steps[1], RunStep)
    assert (steps[1].run, steps[1].step, steps[1].summary) == (run, 1, {"kept": 2})


def test_group_comes_back_as_it_went_in(store, run):
    """Rollouts, scores, rewards and failures survive; nan is unknown, and unknown keys are kept."""
    group(store)
    (kept,) = store.groups(run)
    assert kept["problem"] == {"id": "p1", "question": "1+1?"}
    assert (kept["status"], kept["version"], kept["step"]) == ("kept", 1, 0)
    failure = {"kind": "timeout", "message": "no answer in 60 s"}
    assert kept["rollouts"] == [rollout(0, tainted=True), rollout(1, failure=failure, answer="")]
    assert kept["rewards"] == [1.0, None]
    assert kept["advantages"] == [0.5, 0.0]
    assert kept["scores"] == [
        [{"value": 1.0, "why": "equal", "name": "exact", "failure": None}],
        [{"value": None, "why": "", "name": "", "failure": failure}],
    ]


def test_group_recorded_again_replaces_itself(store, run):
    """A resumed run may record a group twice; no rollout or score of the first stays behind."""
    group(store)
    group(store, status="flat")
    group(store, step=1)
    assert [(g["step"], g["status"]) for g in store.groups(run)] == [(0, "flat"), (1, "kept")]
    assert [g["step"] for g in store.groups(run, step=1)] == [1]
    assert store._rows("SELECT count(*) FROM scores")[0][0] == 4


def test_rollout_may_have_several_scores(store, run):
    """One list of scores per rollout keeps every grader's value, in order."""
    scores = [[{"value": 1.0, "name": "a"}, {"value": 0.0, "name": "b"}], []]
    group(store, scores=scores)
    assert [[s["name"] for s in some] for some in store.groups(run)[0]["scores"]] == [["a", "b"], []]


def test_group_of_uneven_lengths_is_refused(store, run):
    """As many scores, rewards and advantages as rollouts, or none; else nothing is stored."""
    with pytest.raises(ValueError, match="2 rollouts, but 1 values"):
        group(store, rewards=[1.0])
    assert store.groups(run) == ()


def test_uses_add_up_over_steps(taught, run):
    """Uses sums what each step showed; a step recorded again replaces itself."""
    taught.record_uses("web", {1: 5, 2: 5}, run=run, step=0)
    taught.record_uses("web", {1: 3}, run=run, step=1)
    taught.record_uses("web", {1: 4}, run=run, step=1)
    assert taught.uses("web") == {1: 9, 2: 5} == taught.uses("web", run)
    assert taught.uses("web", "other") == {}


def test_evaluations_are_kept_per_version_and_control(taught, run):
    """Evaluations come back in order, and the same one again replaces itself, also without a library."""
    own = Evaluation(run, "aime24", "m", "web", 1, 0.4, 0.3, 0.5, problems=30, k=8, summary={"pass_at": {"8": 0.6}})
    empty = Evaluation(run, "aime24", "m", None, None, 0.2, control="empty")
    for evaluation in (empty, own, empty):
        taught.record_evaluation(evaluation)
    kept = taught.evaluations(run=run)
    assert [(e.control, e.mean, e.summary) for e in kept] == [("", 0.4, own.summary), ("empty", 0.2, {})]
    assert [e.version for e in taught.evaluations("web")] == [1]
