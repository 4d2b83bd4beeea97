"""Ways to choose lessons side by side: what each earns, what it costs, and which one the figures speak for."""

import pytest
from support import script

import tfgrpo
from experience_db import Edit, Op, Store
from tfgrpo.errors import UsageError
from tfgrpo.evaluation.retrievals import best_retrieval, prompt_cost


def test_shared_and_own_tokens_of_prompts():
    """What all prompts begin with is shared, the rest is new; without prompts there is no figure."""
    prompts = [[{"role": "system", "content": "a" * 40}, {"role": "user", "content": c * 8}] for c in "xyz"]
    cost = prompt_cost(prompts)
    assert cost.own == pytest.approx(2)
    assert 10 < cost.shared < 14
    assert prompt_cost([(), ()]) is None


def row(diff, p):
    """Return a row of a table."""
    return {"diff": diff, "p": p}


@pytest.mark.parametrize(
    ("others", "best"),
    [
        ({"fts": row(0.1, 0.2)}, "all"),
        ({"fts": row(0.1, 0.01)}, "fts"),
        ({"fts": row(0.1, 0.01), "hybrid": row(0.2, 0.01)}, "hybrid"),
        ({"fts": row(-0.3, 0.001)}, "all"),
        ({}, "all"),
    ],
)
def test_the_first_way_stays_unless_another_is_clearly_better(others, best):
    """A difference inside its noise chooses nothing."""
    assert best_retrieval({"all": row(None, None), **others})[0] == best


@pytest.fixture
def library(tmp_path):
    """A database whose library knows all four topics."""
    file = tmp_path / "experience.db"
    model = script.Model()
    with Store.open(file) as store:
        store.create_library("default")
        texts = [script.lesson(topic) for topic in script.TOPICS]
        store.commit("default", [Edit(Op.ADD, text) for text in texts], parent=0)
    return {"model": script.play(model), "grader": "exact", "db": file, "library": "default"}


def test_eval_compares_ways_on_the_same_problems(library):
    """Lessons that suit the problem do what all of them do, in prompts that share less and are shorter."""
    found = tfgrpo.evaluate_sync(script.rows(8), retrievals=("all", "fts"), **library).summary
    ways = found["retrieval"]["ways"]
    assert ways["all"]["mean"] == found["mean"] == ways["fts"]["mean"] == 1
    assert ways["fts"]["diff"] == 0
    assert ways["fts"]["prompt_tokens"] < ways["all"]["prompt_tokens"]
    assert ways["fts"]["shared_tokens"] < ways["all"]["shared_tokens"]
    assert found["retrieval"]["best"] == "all"


def test_a_configured_retrieval_is_what_is_measured(library):
    """`lessons.retrieval=fts` changes the prompts of the evaluation itself."""
    plain = tfgrpo.evaluate_sync(script.rows(4), **library)
    chosen = tfgrpo.evaluate_sync(script.rows(4), overrides=["lessons.retrieval=fts"], **library)
    sizes = [len(str(e.evaluation.graded_P_K[0][0].rollout.messages)) for e in (plain, chosen)]
    assert sizes[1] < sizes[0]


def test_an_unknown_way_is_refused_before_anything_is_asked(library):
    """A name that is none, and vectors without a model, cost no call."""
    with pytest.raises(UsageError, match="no retrieval 'near'"):
        tfgrpo.evaluate_sync(script.rows(2), retrievals=("all", "near"), **library)
    with pytest.raises(UsageError, match="name a model"):
        tfgrpo.evaluate_sync(script.rows(2), retrievals=("embedding",), **library)


def test_learning_counts_the_lessons_that_problems_met(library):
    """A run under a retrieval records for each lesson the rollouts that had it, not all of them."""
    file = library["db"]
    options = {"retrieval": "fts"}
    model = script.Model()
    overrides = [f"lessons.{key}={value}" for key, value in options.items()]
    script.learn(model, script.rows(8), file, name="met", library="default", overrides=overrides)
    with Store.open(file) as store:
        used = store._rows("SELECT lesson_id, sum(shown) AS n FROM lesson_uses GROUP BY lesson_id ORDER BY lesson_id")
    assert [row["n"] for row in used] == [8, 8, 8, 8]
