"""What is secret is decided from the whole dataset: labels are no leaks, a problem's own things are."""

import pytest
from lessons.lesson_kinds import CLASSIFICATION, DATASETS, EXTRACTION, LEAKING, RIGHT, rows

from experience_db import Edit, Op
from tfgrpo.errors import UsageError
from tfgrpo.lessons.dataset_vocabulary import dataset_vocabulary, vocabulary_notice
from tfgrpo.lessons.edits import check_edits
from tfgrpo.lessons.leakage import leak_reason
from tfgrpo.lessons.scanners import scan


def test_the_tables_are_large():
    """Sixty right lessons over seven kinds of work, and sixty that give something away."""
    assert len(RIGHT) >= 60
    assert len(LEAKING) >= 60
    assert len(DATASETS) == 7


@pytest.mark.parametrize(("dataset", "text"), RIGHT, ids=[text[:40] for _, text in RIGHT])
def test_right_lessons_pass_every_check(dataset, text):
    """No check of edits stops a right lesson: neither for leaks, whatever problem it came from, nor shape, nor scan."""
    public = dataset_vocabulary(dataset)
    assert [leak_reason(text, problem, public) for problem in dataset] == [None] * len(dataset)
    assert check_edits([Edit(Op.ADD, text)], ()).dropped == ()
    assert scan(text) == ()


@pytest.mark.parametrize(("dataset", "problem", "text"), LEAKING, ids=[text[:40] for _, _, text in LEAKING])
def test_lessons_that_give_their_problem_away_are_refused(dataset, problem, text):
    """An answer, name, number or quotation that only one problem has stays secret in every dataset."""
    assert leak_reason(text, problem, dataset_vocabulary(dataset)) is not None


def test_labels_are_told_at_the_start_and_have_a_switch():
    """The notice counts and names them; `strict` and `off` do what they say, and another word is refused."""
    public = dataset_vocabulary(CLASSIFICATION)
    assert vocabulary_notice(public) == (
        "4 answers recur over problems (Account, Billing, Shipping, Technical): lessons may name them; "
        "-s lessons.leakage=strict forbids it"
    )
    text = "Label messages about charges as Billing."
    assert leak_reason(text, CLASSIFICATION[0], dataset_vocabulary(CLASSIFICATION, "strict")) is not None
    off = dataset_vocabulary(EXTRACTION, "off")
    assert leak_reason("The number is INV-20931.", EXTRACTION[0], off) is None
    assert "is off" in vocabulary_notice(off)
    assert vocabulary_notice(dataset_vocabulary(EXTRACTION[:3])) == ""
    with pytest.raises(UsageError, match="dataset, strict, off"):
        dataset_vocabulary(EXTRACTION, "never")


def test_numbers_that_recur_by_chance_stay_secret():
    """Sums that happen to agree are no labels; ratings from 1 to 5 are."""
    sums = rows("sums", [(f"Compute {i} + {i * 7 % 13}.", str(i + i * 7 % 13)) for i in range(40)])
    assert dataset_vocabulary(sums).answers == frozenset()
    ratings = rows("ratings", [(f"Rate the review number {i} from one to five.", str(1 + i % 5)) for i in range(40)])
    assert dataset_vocabulary(ratings).answers == frozenset("12345")


def test_one_question_asked_twice_makes_no_label():
    """What recurs is counted over different questions."""
    twice = rows("twice", [("Who wrote Emma?", "Jane Austen"), ("Who  wrote  EMMA?", "Jane Austen")])
    assert dataset_vocabulary(twice).answers == frozenset()


def test_lists_of_labels_count_one_by_one():
    """With several labels a problem, each of them recurs by itself."""
    tags = rows("tags", [("Tag the red car.", "red, car"), ("Tag the red bus.", "red, bus"), ("Tag the car.", "car")])
    assert {"red", "car"} <= dataset_vocabulary(tags).answers
