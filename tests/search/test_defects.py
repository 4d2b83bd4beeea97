"""Each defect that was measured in the reference implementation (gepa 0.1.4) is a test that ours does not have it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.script import TOPICS, edits, lesson, rows, text_of

from experience_db import Store
from search.world import blank, model, reflect, search
from tfgrpo.errors import NothingLearned, ProviderError
from tfgrpo.types import FailureKind, Reply

ROOT = Path(__file__).parents[2]


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def test_a_start_that_scores_zero_can_be_merged_from(db):
    """The reference raises "Total of weights must be greater than zero" here."""
    result = search(
        model(), db, "gepa-merge", problems=rows(24), epochs=3, search__pool="separate", search__validation="full"
    )
    assert result.summary["heldout"]["before"] == 0.0
    merged = [s for s in result.steps if "merge" in s.monitor]
    assert merged
    with Store.open(db, readonly=True) as store:
        kinds = {o.kind: o.origins for o in store.lineage("default")}
        assert len(kinds["merge"]) == 2
        assert store.verify() == ()


def test_learning_rollouts_never_stand_in_for_held_out_ones(db):
    """Held-out problems that cannot be solved score 0, whatever the learning rollouts earned."""
    playing = model(evaluate=lambda _: "Answer: no idea")
    result = search(playing, db, epochs=2, search__validation="full")
    assert result.summary["heldout"]["after"] == 0.0
    held = {row["question"] for row in rows(8, 500)}
    for request in playing.requests:
        asked = any(question in text_of(request) for question in held)
        assert asked == (request.role == "evaluate")


@pytest.mark.parametrize("budget", [7, 30, 41, 55])
def test_a_budget_of_calls_is_never_overshot_and_counts_every_role(tmp_path, budget):
    """Reflections count, P x N proposals in flight count, and the last call is number `budget` or earlier."""
    playing = model()
    result = search(playing, tmp_path / "x.db", epochs=4, budget_calls=budget)
    assert len(playing.requests) <= budget
    assert result.summary["stopped"].startswith(f"the budget of {budget} calls is reached")
    if budget >= 30:
        assert playing.calls["reflect"] > 0


def test_a_larger_budget_goes_on_and_pays_for_nothing_twice(db, tmp_path):
    """Three executions with growing budgets send the calls of one that was never stopped, the start's included."""
    whole = model()
    expected = search(whole, tmp_path / "whole.db", epochs=2)
    playing = model()
    for budget in (20, 45, 1000):
        result = search(playing, db, epochs=2, budget_calls=budget)
    assert result.library == expected.library
    assert [s.monitor for s in result.steps] == [s.monitor for s in expected.steps]
    assert playing.calls == whole.calls


@pytest.mark.parametrize("said", ["The prompt should be better. Let me think. First, the solver", "", "```\n```"])
def test_a_reflection_that_cannot_be_read_is_no_lesson(db, said):
    """Prose, emptiness and bare fences are asked for once more and never adopted; the run says what happened."""
    playing = model(reflect=lambda _: said)
    with pytest.raises(NothingLearned, match="every reflection failed"):
        search(playing, db)
    with Store.open(db, readonly=True) as store:
        assert [v.number for v in store.versions("default")] == [0]
    assert playing.calls["reflect"] == 8
    assert playing.calls["rollout"] == 12


def test_markup_in_a_reflection_is_no_lesson(db):
    """A piece of code as a lesson is refused by a check in code, with the reason on record."""
    result = search(model(reflect=lambda _: edits({"op": "ADD", "text": "{{ x }} ```py```"})), db)
    assert len(result.library) == 0
    assert {v.reason for s in result.steps for v in s.verdicts} == {"the text is markup or code, not a lesson"}


def test_reflections_that_all_fail_end_the_run_with_an_error(db):
    """The reference burns its budget on parent minibatches and reports the seed as a success."""
    playing = model(reflect=lambda _: ProviderError("403 forbidden for this model"))
    with pytest.raises(NothingLearned, match="every reflection failed"):
        search(playing, db, problems=rows(60), epochs=5)
    assert playing.calls["reflect"] <= 12
    with Store.open(db, readonly=True) as store:
        assert store.runs()[0].status == "failed"


def test_lasting_failures_end_the_run_instead_of_looping(db):
    """Where every rollout fails there is nothing to search; the run stops after a few."""
    playing = model(rollout=lambda _: ProviderError("500 from upstream"))
    with pytest.raises(NothingLearned, match="500 from upstream"):
        search(playing, db, problems=rows(60), epochs=50)
    assert playing.calls["rollout"] <= 36


def test_a_failed_rollout_is_no_wrong_answer(db):
    """A child is compared on the pairs that were measured; empty replies of its parent gain it nothing."""
    useless = "When a figure is large, write it slowly."

    def flaky(request):
        if useless not in text_of(request) and request.role == "rollout" and "maple" in text_of(request):
            return ProviderError("empty", FailureKind.EMPTY)
        return "Answer: 0"

    playing = model(
        rollout=flaky, evaluate=flaky, reflect=lambda _: edits({"op": "ADD", "text": useless, "attempts": [1]})
    )
    result = search(playing, db, search__steps=1)
    assert len(result.library) == 0
    assert result.summary["failures"]["empty"] > 0


def test_one_null_answer_does_not_end_the_run(db):
    """A single reply without content costs its rollout, not the run."""
    count = iter(range(10_000))

    def once(request):
        return Reply("") if next(count) == 3 else blank(request)

    result = search(model(rollout=once), db)
    assert {x.text for x in result.library} == set(map(lesson, TOPICS))


def test_the_start_is_scored_once_whatever_is_resumed(db):
    """The reference repeats the whole seed pass on resume, uncounted."""
    playing = model()
    search(playing, db, budget_calls=20)
    search(playing, db)
    start = [r for r in playing.requests if r.role == "evaluate" and "When the topic" not in text_of(r)]
    assert len(start) == 8


def test_a_changed_dataset_is_another_run(db):
    """The reference goes on with whatever it is given; ours starts anew and says so, serving no old answers."""
    playing = model()
    search(playing, db, search__steps=1)
    before = playing.calls["rollout"]
    search(playing, db, search__steps=1, problems=rows(12, 40))
    assert playing.calls["rollout"] > before
    with Store.open(db, readonly=True) as store:
        assert len(store.runs()) == 2


def test_state_is_rows_and_no_pickle(db):
    """Opening a run executes nothing: one SQLite file of text and numbers, and no unpickling in the package."""
    search(model(), db)
    assert {p.name for p in db.parent.iterdir()} <= {"x.db", "x.db-wal", "x.db-shm"}
    sources = [p.read_text() for package in ("tfgrpo", "experience_db") for p in (ROOT / package).rglob("*.py")]
    assert not [s for s in sources if re.search(r"^\s*(import|from) (pickle|cloudpickle|dill|shelve)\b", s, re.M)]


def test_refused_proposals_are_remembered(db):
    """The reference forgets them and proposes them again; ours is told, and a copy of a candidate is not scored."""
    same = "When the topic is maple, double the figure before you answer."
    playing = model(reflect=lambda _: edits({"op": "ADD", "text": same, "attempts": [1]}))
    result = search(playing, db, search__steps=1, search__pool="separate")
    reasons = [v.reason for v in result.steps[0].verdicts if v.decision == "rejected"]
    assert "a sibling has the same lessons" in reasons
    assert playing.calls["evaluate"] == 16


SCRIPT = """
import sys, tempfile
from pathlib import Path
from search.world import model, search
with tempfile.TemporaryDirectory() as folder:
    made = search(model(), Path(folder) / "x.db", "gepa-merge", search__pool="separate", epochs=2)
    print([(x.id, x.text) for x in made.library], [s.monitor for s in made.steps])
"""


@pytest.mark.slow
def test_the_hash_seed_of_the_process_decides_nothing():
    """In the reference tied merges depend on it."""
    told = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=ROOT / "tests", check=True, text=True, stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(told) == 1


def test_all_roles_are_in_the_journal(db):
    """What a search cost is the sum over its roles, reflections included."""
    playing = model(reflect=reflect)
    search(playing, db)
    with Store.open(db, readonly=True) as store:
        paid = {role: usage.calls for role, usage in store.usage(store.runs()[0].id).items()}
    assert paid == dict(playing.calls)
