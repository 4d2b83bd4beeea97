"""Exact match and F1 of short answers, and a judge for the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graders.judges import careful, group, scripted_judge, verdict
from tfgrpo.graders.web_qa import WebQA, best_match, f1
from tfgrpo.graders.web_words import squad_text
from tfgrpo.types import Problem

PROBLEM = Problem("p", "Which river?", "the Danube", {"answer_aliases": ["Donau", 7]})


def with_judge(script, **config):
    """A grader with a scripted judge."""
    judge, backend = scripted_judge(script, **config)
    return WebQA(judge.config, judge.judge_model), backend


@pytest.mark.parametrize(
    ("answer", "em", "overlap"),
    [
        ("Danube", 1.0, 1.0),
        ("The  DANUBE.", 1.0, 1.0),
        ("Answer: Donau", 1.0, 1.0),
        ("<answer>Danube</answer>", 1.0, 1.0),
        ("the river Danube", 0.0, 2 / 3),
        ("Rhine", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
async def test_em_and_f1_are_named_scores(answer, em, overlap):
    """Without a judge the value is F1, both figures are parts, and the words say that nobody judged."""
    (score,) = await WebQA()(PROBLEM, group(answer))
    assert {part.name: part.value for part in score.parts} == {"em": em, "f1": pytest.approx(overlap)}
    assert score.value == pytest.approx(overlap)
    assert "no judge was asked" in score.why


@pytest.mark.parametrize(
    ("got", "wanted", "value"),
    [
        ("1913", "June 1913", 2 / 3),
        ("yes", "no", 0.0),
        ("yes, it is", "yes", 0.0),
        ("北京大学", "北京", 2 / 3),
        ("10 May 2024", "May 10, 2024", 1.0),
        ("a", "the", 0.0),
        ("3.14", "314", 0.0),
        ("1.5 million", "15 million", 0.5),
        ("10:30", "1030", 0.0),
    ],
)
def test_f1_counts_shared_words(got, wanted, value):
    """Words count as often as both have them, Chinese by characters, yes and no share nothing with anything else."""
    assert f1(got, wanted) == pytest.approx(value)


@given(st.text(max_size=30), st.text(max_size=30))
def test_f1_is_symmetric_bounded_and_one_on_itself(a, b):
    """Swapping sides changes nothing, values lie in [0, 1], and exact match implies F1 of 1."""
    assert f1(a, b) == f1(b, a)
    assert 0 <= f1(a, b) <= 1
    assert f1(a, a) == 1
    em, overlap = best_match(a, [b])
    assert overlap == 1 or not em


def test_normalisation_drops_what_carries_no_meaning():
    """Case, punctuation, articles, full-width forms and spare white space are gone."""
    assert squad_text("  The “Ａnswer”, an   answer! ") == "answer answer"


async def test_only_what_does_not_match_is_judged():
    """An exact match needs no judge; everything else is the judge's verdict, also where F1 is high."""
    grader, backend = with_judge(careful)
    exact, worded, wrong, empty = await grader(PROBLEM, group("Danube", "It is the Danube.", "Rhine", ""))
    assert [s.value for s in (exact, worded, wrong, empty)] == [1.0, 1.0, 0.0, 0.0]
    assert len(backend.requests) == 2
    assert {part.name: part.value for part in exact.parts} == {"em": 1.0, "f1": 1.0, "judge": 1.0}


async def test_an_abstaining_judge_leaves_the_rollout_unscored():
    """No verdict is no 0; em and f1 stay."""
    grader, _ = with_judge(lambda request: verdict("ABSTAIN"))
    (score,) = await grader(PROBLEM, group("some river"))
    assert score.value is None
    assert [part.value for part in score.parts] == [0.0, 0.0, None]


SAME = [
    ("1,000", "1000"), ("1000.0", "1000"), ("$5", "5"), ("3.140", "3.14."), ("-5", "–5"), ("+5", "5"),
    ("5%", "5 %"),
    ("1990–1995", "1990-1995"), ("10 May 2024", "10 may 2024"), ("well-known", "Wellknown"), ("١٢", "12"),
    ("5.", "5"), ("(5)", "5"), ("5,", "5"), ("10:30 am", "10:30 AM"), ("1/2", "1/2"), ("C", "c"),
    ("The Beatles", "Beatles"), ("U.S.A.", "USA"), ("Straße", "strasse"), ("İstanbul", "istanbul"),
    ("1 000 000", "1000000"), ("$5", "$5.00"), ("“Ulysses”", "Ulysses"), ("July 4, 1776", "july 4 1776"),
    ("e = mc²", "e = mc^2"), ("№ 5", "No 5"), ("٤٢", "42"), ("C ++ is it", "c is it"),
]  # fmt: skip
OTHER = [
    ("3.14", "314"), ("-5", "5"), ("–5", "5"), ("10:30", "1030"), ("1.5 million", "15 million"), ("1/2", "12"),
    ("2-3", "23"), ("10^6", "106"), ("10²", "102"), ("1.2.3", "123"), ("192.168.0.1", "19216801"), ("0.5", "5"),
    (".5", "5"), ("5-1", "51"), ("1990-1995", "19901995"), ("2024-05-01", "20240501"), ("1,5", "15"), ("a", "the"),
    ("2½", "21/2"), ("+", "-"), ("-5 degrees", "5 degrees"),
    ("C", "C++"), ("C", "C#"), ("A+", "A"), ("C#", "C++"), ("x>5", "x<5"), ("≥ 5", "≤ 5"), ("5 m", "5 cm"),
    ("not Paris", "Paris"), ("2e3", "23"), ("U2", "U"), ("Apollo 11", "Apollo 12"), ("", "a"), ("±5", "5"),
    ("H2O", "H20"), ("5 km", "5"),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "reference"), SAME)
def test_the_same_number_matches_however_it_is_written(answer, reference):
    """Groups of digits, zeros at the end, signs of money and typography make no difference."""
    assert best_match(answer, [reference])[0] == 1.0


@pytest.mark.parametrize(("answer", "reference"), OTHER)
def test_numbers_are_compared_as_numbers(answer, reference):
    """A point, a sign, a colon or a dash between digits is part of the number."""
    assert best_match(answer, [reference])[0] == 0.0


@pytest.mark.parametrize("reference", ["", "  ", "...", "?", "“”", "-"])
async def test_an_empty_reference_is_none(reference):
    """A reference without a word, a number or a sign leaves everything unscored, an empty answer too."""
    for answer in ("", "...", "5"):
        (score,) = await WebQA()(Problem("p", "?", reference), group(answer))
        assert score.value is None
        assert "reference" in score.failure.message


async def test_without_a_reference_nothing_is_scored():
    """There is nothing to match."""
    (score,) = await WebQA()(Problem("p", "?"), group("x"))
    assert score.value is None
