"""Lessons chosen for one problem: the nearest, and of them those that are worth their room."""

import pickle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Evidence, Lesson, Library, Retrieval, open_library
from experience_db.retrieval import WordRanker, tokens_of

TEXTS = (
    "When units differ, convert all of them first.",
    "Draw the figure of a triangle before you compute.",
    "Check the edge cases of a loop.",
    "Units of time: convert hours to minutes.",
)


def library(texts=TEXTS, **retrieval):
    """Return a library in memory that chooses by words."""
    lessons = tuple(Lesson(i, text, 1, 1) for i, text in enumerate(texts, 1))
    return Library("web", 1, lessons, retrieval=Retrieval(**retrieval))


def ids(chosen):
    """Return the ids of a library's lessons."""
    return [lesson.id for lesson in chosen]


def test_a_prompt_gets_the_lessons_that_suit_its_problem():
    """`inject` puts in what shares words with the problem, in the order of ids, and nothing else."""
    messages = library().inject([{"role": "user", "content": "x"}], problem="Convert its units")
    assert "[1] When units" in messages[0]["content"]
    assert "[4] Units of time" in messages[0]["content"]
    assert "triangle" not in messages[0]["content"]


@pytest.mark.parametrize(
    "problem",
    [{"question": "a triangle"}, {"prompt": "a triangle"}, type("Problem", (), {"question": "a triangle"})(), None],
)
def test_the_question_is_found_in_what_apps_have(problem):
    """A dict or an object with a question will do; without a problem, what the user said last is looked for."""
    parts = [{"type": "text", "text": "Mind the triangle"}]
    messages = [{"role": "user", "content": "loop"}, {"role": "user", "content": parts}]
    assert ids(library().suited(problem, messages)) == [2]


def test_nothing_near_means_no_block():
    """A problem that no lesson is about gets its messages back as they were."""
    messages = [{"role": "user", "content": "zebra"}]
    assert library().inject(messages) == messages


def test_the_room_goes_to_what_is_worth_most_per_token():
    """Of near lessons the best measured per token come first, the unmeasured by nearness, the harmful never."""
    texts = ("units " * 8 + "long and good", "units short and good", "units unmeasured", "units harmful")
    measured = {1: 0.2, 2: 0.15, 4: -0.1}
    made = library(texts, tokens=12, effects=lambda _, asked: {i: measured[i] for i in asked if i in measured})
    assert ids(made.suited("units")) == [2]
    assert ids(replace(made, retrieval=replace(made.retrieval, tokens=600)).suited("units")) == [1, 2, 3]


@given(st.integers(0, 80), st.lists(st.text("abc ", min_size=1, max_size=60), max_size=12))
def test_the_room_is_never_exceeded(tokens, texts):
    """Whatever the lessons, those chosen fit into the room, are some of them, and stand in order."""
    made = library(tuple(f"units {text}" for text in texts), tokens=tokens)
    chosen = made.suited("units")
    assert sum(map(tokens_of, chosen)) <= tokens
    assert ids(chosen) == sorted(set(ids(chosen)))
    assert set(chosen) <= set(made.lessons)


def test_rankers_are_joined_by_rank():
    """What two rankers name goes before what one names; a ranker that knows nothing changes nothing."""
    made = library(rankers=(lambda *_: [3, 1], lambda *_: [2, 1], lambda *_: []), tokens=14)
    assert ids(made.suited("any")) == [1]


def test_an_opened_library_chooses_by_words_and_effects(taught, path):
    """`open_library(retrieval="fts")` chooses by what the file says was measured, also once it is closed."""
    taught.add_evidence("web", [Evidence("leave-one-out", -0.4, -0.5, -0.3, 90, (3,))])
    opened = open_library("web", db=path, retrieval="fts")
    taught.close()
    assert ids(opened.suited("units of a figure")) == [1, 2]
    assert ids(opened.suited("edge cases of a loop")) == []
    with pytest.raises(ValueError, match="there are: all, fts"):
        open_library("web", db=path, retrieval="best")
    assert open_library("web", db=path).suited("figure") == opened


def test_a_retrieval_travels():
    """A library with a retrieval can be pickled, after it was used as well."""
    made = library()
    made.suited("units")
    assert ids(pickle.loads(pickle.dumps(made)).suited("units")) == [1, 4]
    assert WordRanker()(made, "figure", 3) == [2]
