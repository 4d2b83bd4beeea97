"""Subsets of candidates by TPE: what is bootstrapped, what is tried, and that it repeats itself exactly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.script import ASKED, TOPICS, Model, edits, lesson, text_of

from experience_db import Library, Store
from experience_db.prompt_parts import part_of
from search.world import search
from tfgrpo.errors import NothingLearned, ProviderError
from tfgrpo.search.mipro import Choices, demonstration_sets
from tfgrpo.search.pool import HeldoutScores
from tfgrpo.search.subsets import Tpe, default_trials, next_validated
from tfgrpo.search.validate import RacingCandidate

pytest.importorskip("optuna", reason="needs the extra: pip install 'tfgrpo[search]'")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def test_the_best_subset_of_the_bootstrapped_lessons_is_the_library(db):
    """Groups propose four lessons, demonstrations confuse this solver, and the search keeps the lessons alone."""
    result = search(Model(), db, "mipro", search__batch=4, search__trials=8)
    assert {x.text for x in result.library} == set(map(lesson, TOPICS))
    assert result.summary["heldout"]["after"] == 1.0
    with Store.open(db, readonly=True) as store:
        assert {o.kind for o in store.lineage("default")} == {"subset", "best"}
        everything = {x.text for x in store.library("default", 1)}
        assert sum(text.startswith("Worked example.") for text in everything) == 4
        assert store.verify() == ()
    decided = {v.reason for v in result.steps[-1].verdicts}
    assert decided == {"in the best subset", "not in the best subset"}


def test_minibatches_reuse_what_validation_measured(db):
    """A trial and a validation of one subset ask each held-out problem once."""
    playing = Model()
    search(playing, db, "mipro", search__batch=4, search__trials=8)
    asked = [(r.attempt, text_of(r)) for r in playing.requests if r.role == "evaluate"]
    assert len(asked) == len(set(asked))


def test_a_repeated_search_tries_the_same_subsets_without_a_call(db):
    """TPE is a function of its seed and of what it was told."""
    playing = Model()
    first = search(playing, db, "mipro", search__batch=4, search__trials=8)
    made = len(playing.requests)
    again = search(playing, db, "mipro", search__batch=4, search__trials=8)
    assert len(playing.requests) == made
    assert [s.monitor for s in again.steps] == [s.monitor for s in first.steps]
    assert again.library == first.library


@pytest.mark.parametrize("budget", [50, 90])
def test_a_budget_is_kept_and_a_larger_one_goes_on(tmp_path, budget):
    """Cut anywhere, the run ends as if it had never been."""
    whole = Model()
    expected = search(whole, tmp_path / "whole.db", "mipro", search__batch=4, search__trials=8)
    playing = Model()
    search(playing, tmp_path / "x.db", "mipro", search__batch=4, search__trials=8, budget_calls=budget)
    assert len(playing.requests) <= budget
    again = search(playing, tmp_path / "x.db", "mipro", search__batch=4, search__trials=8)
    assert again.library == expected.library
    assert playing.calls == whole.calls


def test_without_candidate_lessons_nobody_is_asked_for_any(db):
    """As published: demonstrations alone, found by rollouts, and no contrast is paid for."""
    playing = Model()
    result = search(playing, db, "mipro", search__batch=4, search__trials=4, search__candidates=0)
    assert {r.role for r in playing.requests} == {"rollout", "evaluate", "ground"}
    assert result.steps[0].monitor["search"]["candidates"] == 0
    assert result.steps[0].monitor["search"]["demonstrations"] == 4


def test_contrasts_that_all_fail_are_an_error(db):
    """Without a candidate because nothing worked, the run must not look like one that found nothing."""
    with pytest.raises(NothingLearned, match="every contrast failed"):
        search(Model(contrast=lambda _: ProviderError("out of service")), db, "mipro")


def test_nothing_to_search_ends_after_the_bootstrap(db):
    """No lesson and no demonstration: one step, no trial, the start stays."""
    playing = Model(contrast=lambda _: edits(), rollout=lambda _: "Answer: 0")
    result = search(playing, db, "mipro")
    assert len(result.steps) == 1
    assert result.library.version == 0


def test_trials_follow_the_published_formula():
    """At least 8, then 4 log2 N and 1.5 N."""
    assert [default_trials(n) for n in (1, 8, 12, 30)] == [8, 12, 18, 45]


def test_the_next_validation_is_the_best_average_not_validated_yet():
    """Averages count, not single scores; ties go to the one tried first."""
    scored = {(True, False): [0.5, 0.7], (False, True): [0.9, 0.1], (True, True): [0.6]}
    assert next_validated(scored, set()) in {(True, False), (True, True)}
    assert next_validated(scored, {(True, False), (True, True)}) == (False, True)
    assert next_validated(scored, set(scored)) is None


def test_a_validation_that_ended_early_has_no_mean_over_all_problems():
    """What lost on the first few problems is not told to the estimator as if it had been scored on all."""
    marks = HeldoutScores({"a": 1.0, "b": 0.0})
    entry = RacingCandidate(Library("x"), {}, marks)
    assert entry.whole_mean == 0.5
    assert replace(entry, lost="worse than its parent").whole_mean is None
    assert RacingCandidate(Library("x"), {}).whole_mean is None


def test_the_start_is_told_to_the_search_and_never_validated_again(db):
    """The subset without any candidate was measured before the run, and becomes no version of its own."""
    search(Model(), db, "mipro", search__batch=4, search__trials=8)
    with Store.open(db, readonly=True) as store:
        made = [o for o in store.lineage("default") if o.kind == "subset"]
        assert made
        assert all(len(store.library("default", o.version).lessons) > 0 for o in made)


def test_instructions_are_grounded_and_one_of_them_stands(db):
    """The proposer is told of the dataset, the prompt and what worked; the right candidate is found, and no lesson."""
    right = "Double every figure."

    def ground(request):
        text = text_of(request)
        if "Now write the description" in text:
            return "Figures of topics."
        number = int(text.rpartition("This is candidate ")[2].partition(".")[0])
        return edits({"op": "ADD", "text": right if number == 3 else f"Attempt {number} ways.", "attempts": []})

    def told(request):
        found = ASKED.search(text_of(request))
        return f"Answer: {2 * int(found[2]) if text_of(request).startswith(right) or request.attempt % 4 == 3 else 1}"

    playing = Model(rollout=told, evaluate=told, contrast=lambda _: edits(), ground=ground)
    result = search(playing, db, "mipro", search__batch=8, search__trials=24, search__demonstrations=2)
    asked = playing.asked("ground")
    assert len(asked) == 7
    assert all("Figures of topics." in text and "boxed" in text for text in asked[1:])
    assert any("Worked example." in text for text in asked[1:])
    assert len({text.partition("## What to write")[2] for text in asked[1:]}) == 6
    assert [part_of(x.text) for x in result.library if part_of(x.text)] == [("instructions", right)]
    assert result.summary["heldout"]["after"] == 1.0


def test_a_choice_names_lessons_instructions_and_a_set():
    """Zero is what the run began with; at most one of the instructions stands."""
    choices = Choices(2, 3, (frozenset({0, 1}), frozenset({1})), 2)
    assert choices.sizes == (2, 2, 4, 3)
    assert choices.inside((0, 0, 0, 0)) == (False,) * 7
    assert choices.inside((1, 0, 2, 2)) == (True, False, False, True, False, False, True)
    assert choices.everything(sets=True) == (1, 1, 0, 1)
    assert Choices(1, 0).sizes == (2,)


def test_sets_of_demonstrations_differ_and_all_come_first():
    """As many as there can be, at most as asked for; a function of the seed."""
    sets = demonstration_sets(4, 6, 0)
    assert len(set(sets)) == 6
    assert sets[0] == frozenset(range(4))
    assert sets == demonstration_sets(4, 6, 0)
    assert demonstration_sets(1, 6, 0) == (frozenset({0}),)
    assert demonstration_sets(0, 6, 0) == ()


def test_tpe_learns_which_candidate_helps():
    """After some trials it proposes subsets with the useful candidate far more often than not."""
    tpe = Tpe((2,) * 4, seed=0)
    for _ in range(12):
        tpe.tell([float(s[2]) - 0.1 * sum(s) for s in tpe.ask(4)])
    assert sum(s[2] for s in tpe.ask(10)) >= 8
