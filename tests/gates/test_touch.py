"""Where an edit acts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db import Edit, Op
from tfgrpo.datasets.content_words import STOP_WORDS, words
from tfgrpo.gates.touch import Touched, strata, touched, union
from tfgrpo.types import Problem

from .tables import library_of, worded_pool

POOL = worded_pool(64)
LIBRARY = library_of("Treat dax as sum.", "Check twice.", "Treat wug as min.")


def ids(found):
    """Ids of the touched problems."""
    return [problem.id for problem in found.problems]


def with_word(*operators):
    """Ids of the problems that name any of the operators."""
    return [problem.id for problem in POOL if any(word in problem.question for word in operators)]


@pytest.mark.parametrize(
    ("edit", "operators"),
    [
        (Edit(Op.ADD, "Treat glorp as max."), ("glorp",)),
        (Edit(Op.ADD, "When GLORP appears, take the larger."), ("glorp",)),
        (Edit(Op.UPDATE, "Treat glorp as max.", (1,)), ("glorp", "dax")),
        (Edit(Op.UPDATE, "Add the two.", (1,)), ("dax",)),
        (Edit(Op.DELETE, None, (1,)), ("dax",)),
        (Edit(Op.MERGE, "Treat both as sum.", (1, 3)), ("dax", "wug")),
    ],
)
def test_words_taken_or_brought_name_the_touched_problems(edit, operators):
    """ADD counts its new words, DELETE the old ones, UPDATE and MERGE both."""
    found = touched(edit, LIBRARY, POOL)
    assert (found.how, ids(found), found.words) == ("word", with_word(*operators), tuple(sorted(operators)))


@pytest.mark.parametrize(
    "text",
    [
        "Compute with care.",
        "Start with the left one.",
        "Check the answer again before you finish.",
        "¡Ojo!",
        "Sum 3 9.",
    ],
)
def test_lesson_without_a_rare_word_touches_everything(text):
    """Words that occur everywhere, nowhere or mean nothing single out no problem."""
    found = touched(Edit(Op.ADD, text), LIBRARY, POOL)
    assert (found.how, found.problems) == ("all", POOL)


def test_stop_words_do_not_touch_however_rare():
    """A word of task prose in a quarter of the problems is no topic."""
    pool = tuple(Problem(str(i), f"Find {'each possible value' if i % 4 == 0 else 'x'} now.") for i in range(64))
    assert touched(Edit(Op.ADD, "Find each possible value."), LIBRARY, pool).how == "all"


def test_a_condition_that_names_few_problems_is_not_diluted():
    """A word of three problems is tested on those three, not on the whole pool."""
    pool = tuple(Problem(str(i), "a triangle" if i < 3 else "a circle") for i in range(64))
    found = touched(Edit(Op.ADD, "Triangles have three sides."), LIBRARY, pool)
    assert (found.how, len(found.problems)) == ("word", 3)


SHOP = tuple(
    Problem(str(i), text)
    for i, text in enumerate(
        [f"My refund for the red shirt {i} is late" for i in range(6)]
        + [f"What name is on charge {i}?" for i in range(6)]
        + [f"I cannot log in, my name is Red {i}" for i in range(6)]
        + [f"The parcel {i} is lost" for i in range(12)]
    )
)


@pytest.mark.parametrize(
    ("lesson", "problems"),
    [
        ("When a refund is late, answer with the red name of the team.", range(6)),
        ("Answer billing if a refund or a charge is mentioned.", range(12)),
        ("For a parcel, name the carrier.", range(18, 30)),
        ("A charge belongs to billing, whatever the name.", range(6, 12)),
        ("Treat a refund as billing.", range(6)),
        ("Label parcel questions as shipping.", range(18, 30)),
        ("Refund cases go to billing.", range(6)),
    ],
)
def test_condition_and_subject_choose_the_problems(lesson, problems):
    """Words of the condition, else of the subject, name the problems; the rest of the sentence names none."""
    found = touched(Edit(Op.ADD, lesson), LIBRARY, SHOP)
    assert (found.how, [int(p.id) for p in found.problems]) == ("word", list(problems))


@pytest.mark.parametrize("lesson", ["Give the name first.", "Write the answer in red.", "Keep the name short.", ""])
def test_lessons_about_everything_are_tested_everywhere(lesson):
    """Without condition and subject no word that stands in some problems by accident chooses them."""
    assert touched(Edit(Op.ADD, lesson), LIBRARY, SHOP).how == "all"


def test_strata_are_answers_or_thirds_by_length():
    """A few answers are labels; otherwise problems are told apart by their length."""
    labelled = [Problem(str(i), "x", "ab"[i % 2]) for i in range(12)]
    assert sorted(strata(labelled).values()) == [0] * 6 + [1] * 6
    lengths = [Problem(str(i), "x" * i) for i in range(12)]
    assert [strata(lengths)[str(i)] for i in range(12)] == [0] * 4 + [1] * 4 + [2] * 4


@pytest.mark.parametrize(("share", "how"), [(0.25, "word"), (0.5, "all")])
def test_common_word_is_no_topic(share, how):
    """A word that half of the problems have singles out nothing, one that a quarter has does."""
    pool = tuple(Problem(str(i), "a triangle" if i < share * 64 else "a circle") for i in range(64))
    assert touched(Edit(Op.ADD, "Triangles have angles."), LIBRARY, pool).how == how


def test_plural_names_the_singular():
    """A plural s does not hide a word."""
    assert words("Triangles of CLASS") == {"triangle", "class"}


def test_likelihood_takes_the_top_quarter_when_no_word_matches():
    """The quarter of the pool whose stored rollouts change most is taken, in pool order."""
    found = touched(Edit(Op.ADD, "Start left."), LIBRARY, POOL, lambda problem: float(problem.id[1:]) - 31.5)
    assert found.how == "likelihood"
    assert ids(found) == [f"p{i}" for i in (*range(8), *range(56, 64))]


def test_words_win_over_likelihood():
    """A lesson that names problems does not ask for likelihoods."""

    def never(problem):
        raise AssertionError

    assert touched(Edit(Op.ADD, "Treat glorp as max."), LIBRARY, POOL, never).how == "word"


@pytest.mark.parametrize("change", [0.0, math.nan])
def test_unchanged_or_unknown_likelihood_touches_everything(change):
    """Where no likelihood moves or none is known, all problems are tested."""
    assert touched(Edit(Op.ADD, "Start left."), LIBRARY, POOL, lambda problem: change).how == "all"


def test_union_keeps_pool_order_and_falls_back_to_all():
    """A bundle is tested wherever a member acts, and everywhere if one member may act anywhere."""
    parts = [touched(Edit(Op.ADD, f"Treat {word} as max."), LIBRARY, POOL) for word in ("wug", "glorp")]
    assert (union(parts, POOL).how, ids(union(parts, POOL))) == ("word", with_word("glorp", "wug"))
    moved = Touched(POOL[:9], "likelihood")
    assert union([*parts, moved], POOL).how == "likelihood"
    assert union([*parts, Touched(POOL, "all")], POOL) == Touched(POOL, "all")


@given(st.text(max_size=60), st.lists(st.text(max_size=30), max_size=20))
def test_touched_is_a_nonempty_part_of_the_pool_in_its_order(text, questions):
    """Whatever the texts, the result is an ordered part of the pool, and empty only if the pool is."""
    pool = tuple(Problem(str(i), question) for i, question in enumerate(questions))
    found = touched(Edit(Op.ADD, text), LIBRARY, pool)
    places = [pool.index(problem) for problem in found.problems]
    assert places == sorted(set(places))
    assert bool(places) == bool(pool)


@given(st.text(max_size=80))
def test_words_are_content_words(text):
    """No stop word, no number and no short word is left."""
    assert all(word not in STOP_WORDS and not word.isdigit() and len(word) >= 2 for word in words(text))
