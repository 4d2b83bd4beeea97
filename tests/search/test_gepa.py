"""A search as a whole: candidates become versions, the best one is the head, and the same command repeats nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest
from support.script import TOPICS, edits, lesson, play, rows, text_of

import tfgrpo.api
from experience_db import Store
from search.world import blank, model, reflect, search
from tfgrpo.errors import UnknownPlugin, UsageError
from tfgrpo.learning.events import events_of
from tfgrpo.search import planned_work
from tfgrpo.types import Reply, Usage


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def test_what_siblings_learn_is_pooled_into_one_candidate(db):
    """Four proposals with two lessons each make one candidate with the lessons of all; it solves everything."""
    result = search(model(), db)
    assert {x.text for x in result.library} == set(map(lesson, TOPICS))
    assert result.summary["heldout"]["before"] == 0.0
    assert result.summary["heldout"]["after"] == 1.0
    with Store.open(db, readonly=True) as store:
        (origin,) = store.lineage("default")
        assert (origin.version, origin.origins, origin.kind) == (1, (0,), "pooled")
        assert store.verify() == ()
        (found,) = store.evidence("default", 1)
        assert (found.kind, found.estimate, found.n, found.verdict) == ("validation", 1.0, 8, "accepted")


def test_separate_children_are_candidates_of_their_own_and_the_best_is_the_head(db):
    """As in GEPA each accepted child joins the pool; readers see the best one, whatever came last."""
    result = search(model(), db, search__pool="separate", search__validation="full")
    with Store.open(db, readonly=True) as store:
        assert {o.kind for o in store.lineage("default")} == {"mutation", "best"}
        assert all(o.origins == (0,) for o in store.lineage("default") if o.kind == "mutation")
        best = result.steps[-1].monitor["best"]
        assert [x.text for x in store.library("default", best)] == [x.text for x in result.library]
        assert store.verify() == ()


def test_a_child_sees_the_problems_and_seeds_of_its_parent(db):
    """The minibatch compares pairs: same problems, same attempt index, another library."""
    playing = model()
    search(playing, db, search__parents=1, search__proposals=1, search__steps=1)
    asked = [(r.attempt, text_of(r).rpartition("In topic")[2]) for r in playing.requests if r.role == "rollout"]
    assert len(asked) == 6
    assert asked[:3] == asked[3:]


def test_a_child_that_does_not_gain_is_refused_and_the_next_reflection_is_told(db):
    """A useless lesson costs no held-out rollout; later reflections read it among the refused ones."""
    useless = "When a figure is large, write it slowly."

    def useless_first(request):
        return edits({"op": "ADD", "text": useless, "attempts": [1]}) if useless not in text_of(request) else edits()

    playing = model(reflect=useless_first)
    result = search(playing, db, search__parents=1, search__proposals=1)
    assert result.summary["edits"]["rejected"] == 1
    assert result.summary["calls"]["evaluate"]["new"] == 8
    assert useless in playing.asked("reflect")[1]
    with Store.open(db, readonly=True) as store:
        assert store.unapplied("default", "rejected")[0].reason == "minibatch 0 -> 0 over 3 rollouts"


def test_a_perfect_minibatch_asks_for_no_reflection(db):
    """Where nothing was lost there is nothing to reflect on."""
    playing = model(rollout=lambda r: f"Answer: {2 * int(text_of(r).rpartition('of ')[2].rstrip('?'))}")
    search(playing, db, search__steps=1)
    assert playing.calls["reflect"] == 0


def test_groups_can_mutate_instead_of_reflections(db):
    """Ours: the rollouts of each problem are contrasted, and the child is tried on the same rollouts' seeds."""
    half = model()
    half.roles |= {"rollout": lambda r: blank(r) if r.attempt % 2 else f"Answer: {2 * figure(r)}"}
    result = search(half, db, search__mutation="groups", search__steps=1)
    assert half.calls["contrast"] > 0
    assert half.calls["reflect"] == 0
    assert len(result.library) == 4


def figure(request):
    """The figure of a problem."""
    return int(text_of(request).rpartition("comes of ")[2].rstrip("?"))


def test_the_same_command_again_makes_no_call_and_ends_in_the_same_library(db):
    """Everything is in the journal, the choice of parents and minibatches included."""
    playing = model()
    first = search(playing, db, epochs=2)
    made = len(playing.requests)
    again = search(playing, db, epochs=2)
    assert len(playing.requests) == made
    assert again.library == first.library
    assert [s.monitor for s in again.steps] == [s.monitor for s in first.steps]


def test_two_runs_of_one_seed_take_the_same_way(tmp_path):
    """Trajectory and library are functions of configuration, data and replies."""
    one, other = (search(model(), tmp_path / f"{i}.db", epochs=2) for i in range(2))
    assert [s.monitor for s in one.steps] == [s.monitor for s in other.steps]
    assert one.library == other.library


def test_races_spare_held_out_rollouts(tmp_path):
    """A child that is losing stops after a rung; full validation pays for all problems."""
    harm = "When any topic comes up, answer at once."

    def worse(request):
        if request.role == "rollout":
            return f"Answer: {2 * figure(request)}" if harm in text_of(request) else "Answer: 0"
        return "Answer: 0" if harm in text_of(request) else f"Answer: {2 * figure(request)}"

    spent = {}
    for kind in ("full", "racing"):
        playing = model(
            rollout=worse, evaluate=worse, reflect=lambda _: edits({"op": "ADD", "text": harm, "attempts": [1]})
        )
        result = search(
            playing, tmp_path / f"{kind}.db", search__validation=kind, search__steps=1, heldout=rows(64, 500),
            search__look=8,
        )  # fmt: skip
        spent[kind] = playing.calls["evaluate"]
        assert len(result.library) == 0
    assert spent["full"] == 128
    assert spent["racing"] <= 64 + 16


def test_halving_sends_the_better_half_on(tmp_path):
    """Of several children only the leaders see all held-out problems."""
    playing = model()
    result = search(
        playing, tmp_path / "x.db", search__validation="halving", search__pool="separate", search__steps=1,
        heldout=rows(16, 500), search__look=4,
    )  # fmt: skip
    told = result.steps[0].monitor["candidates"]
    assert any("behind its siblings" in c["lost"] for c in told)
    assert any(c["problems"] == 16 for c in told)


def test_a_search_ends_at_its_target_or_when_nothing_gets_better(tmp_path):
    """Both are clean ends: the run is finished and says why."""
    result = search(model(), tmp_path / "a.db", epochs=5, search__target=0.9)
    assert "reached the target" in result.steps[-1].monitor["ended"]
    assert len(result.steps) == 1
    idle = search(model(reflect=lambda _: edits()), tmp_path / "b.db", epochs=9, search__patience=2)
    assert idle.steps[-1].monitor["ended"] == "no better candidate for 2 steps"
    assert len(idle.steps) == 2


def test_a_stop_file_ends_a_run_and_its_absence_goes_on(db, tmp_path):
    """The file admits no call; without it the same command goes on where it stood."""
    stop = tmp_path / "stop"
    playing = model()

    def until(request):
        if len(playing.requests) == 30:
            stop.touch()
        return reflect(request) if request.role == "reflect" else blank(request)

    playing.roles |= dict.fromkeys(("rollout", "evaluate", "reflect"), until)
    first = search(playing, db, epochs=2, budget__stop_file=str(stop))
    assert "the same command goes on once it is gone" in first.summary["stopped"]
    stop.unlink()
    whole = search(model(), tmp_path / "whole.db", epochs=2)
    again = search(playing, db, epochs=2, budget__stop_file=str(stop))
    assert [x.text for x in again.library] == [x.text for x in whole.library]
    assert len(playing.requests) == sum(c["new"] for c in whole.summary["calls"].values())


def test_a_limit_on_tokens_decides_the_final_choice(tmp_path):
    """The better candidate talks too much: without a limit it wins, with one the start stays."""

    def talk(request):
        known = "When the topic" in text_of(request)
        return Reply(blank(request), usage=Usage(10, 90 if known else 5))

    free = search(model(evaluate=talk), tmp_path / "a.db", search__steps=1)
    assert len(free.library) == 4
    bound = search(model(evaluate=talk), tmp_path / "b.db", search__steps=1, search__max_tokens=50.0)
    assert len(bound.library) == 0
    assert bound.steps[0].monitor["pool"] == 2


def own_selector(table, kind, rng):
    """Always the first candidate."""
    return 0


def own_sampler(draw):
    """Always the first problems."""
    return tuple(range(draw.size))


def own_acceptance(parent, child):
    """Refuse everything."""
    return "not today"


def test_rules_of_ones_own_come_in_by_name(db):
    """Selector, sampler and acceptance are `package.module:attr`; what they refuse is told in their words."""
    here = "search.test_gepa"
    result = search(
        model(), db, search__selector=f"{here}:own_selector", search__sampler=f"{here}:own_sampler",
        search__acceptance=f"{here}:own_acceptance", search__steps=1,
    )  # fmt: skip
    assert {v.reason for v in result.steps[0].verdicts} == {"not today"}
    assert {g.problem.id for g in result.steps[0].groups_P} == {row["id"] for row in rows(3)}


@pytest.mark.parametrize("key", ["selector", "sampler", "acceptance"])
def test_an_unknown_rule_is_refused_before_anything_is_stored(db, key):
    """The message lists what there is, and no file is made."""
    with pytest.raises(UnknownPlugin, match=f"no {key} 'nope'"):
        search(model(), db, **{f"search__{key}": "nope"})
    assert not db.exists()


def test_a_search_needs_held_out_problems(db):
    """Without them there is nothing to choose by."""
    with pytest.raises(UsageError, match="give --heldout"):
        search(model(), db, heldout=0)


@pytest.mark.parametrize("frontier", ["objective", "hybrid", "cartesian"])
def test_every_frontier_carries_a_search(tmp_path, frontier):
    """Frontiers decide who is mutated; any of them finds the lessons here."""
    result = search(model(), tmp_path / "x.db", search__frontier=frontier, search__pool="separate", epochs=2)
    assert result.summary["heldout"]["after"] > 0.4


def test_events_tell_groups_verdicts_candidates_and_steps(db):
    """The stream is that of the steps, as plain JSON values."""
    (step, *_) = search(model(), db).steps
    events = [json.loads(json.dumps(e)) for e in events_of(step)]
    kinds = [e["event"] for e in events]
    assert kinds.count("group") == 12
    assert {"verdict", "candidate"} < set(kinds)
    assert kinds[-1] == "step"
    assert events[-1]["version_after"] == 1


def test_a_search_goes_on_from_a_library_that_is_there(db):
    """Seedless start is the empty library; lessons by hand are kept as the first candidate."""
    with Store.open(db) as store:
        store.create_library("default")
        store.import_texts([lesson("maple")], "default")
    result = search(model(), db)
    assert {x.text for x in result.library} == set(map(lesson, TOPICS))
    assert result.summary["heldout"]["before"] == 0.25
    assert isinstance(result, tfgrpo.LearnResult)


def test_progress_knows_how_long_a_search_is(db):
    """Groups, steps and held-out rollouts ahead follow from minibatches, not from batches."""
    told = []

    async def first() -> None:
        wanted = tfgrpo.api.setup(
            model=play(model(), "ahead"), grader="exact", db=db, method="gepa", epochs=2, search__parents=2,
            search__proposals=2,
        )  # fmt: skip
        async with aclosing(
            tfgrpo.api.execute(wanted, rows(12), rows(8, 500), on_start=lambda run: told.append(planned_work(run)))
        ) as steps:
            async for _ in steps:
                break

    asyncio.run(first())
    assert told == [(24, 2, 12)]
