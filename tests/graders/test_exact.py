"""Extraction of final answers and comparison as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.graders import Exact
from tfgrpo.graders.extract import final_answer, last_boxed, normalise
from tfgrpo.types import FailureKind, Problem, Rollout


async def score(answer, gold, **metadata):
    """The value exact gives one answer."""
    (result,) = await Exact()(Problem("p", "?", gold, metadata), [Rollout("p", 0, answer=answer)])
    return result


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"so \boxed{1} no, \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{3} and then \boxed{unclosed", "3"),
        (r"\fbox{no} \boxed {7}", "7"),
        ("x <answer>Lima</answer> y <ANSWER> Quito </ANSWER>", "Quito"),
        ("Answer: 4\nwait.\nFinal answer: 5\n", "5"),
        ("**Final Answer:** Paris\n\nHope this helps.", "Paris"),
        ("The answer is: 12", "12"),
        ("The final answer is Oslo", "Oslo"),
        ("### Answer\nno colon", "### Answer\nno colon"),
        ("<think>\\boxed{9}</think>\nAnswer: 3", "3"),
        ("  Berlin ", "Berlin"),
        ("", ""),
    ],
)
def test_the_final_answer_is_found(reply, answer):
    """Box, tag, answer line, whole text: the first kind there is wins, and in it the last occurrence."""
    assert final_answer(reply) == answer


@pytest.mark.parametrize(
    ("got", "gold"),
    [
        ("PARIS.", "Paris"),
        ("the  Eiffel\nTower!", "Eiffel Tower"),
        ("$42$", "42"),
        ("1,000", "1000"),
        ("“Hamlet”", "Hamlet"),
        (r"\boxed{\text{Evelyn}}", "evelyn"),
        ("ＡＢＣ", "abc"),
        ("Straße", "STRASSE"),
        ("**yes**", "yes"),
        ("[THINK]maybe 4[/THINK]5", "5"),
        ("<|channel|>analysis<|message|>hm 4<|end|><|start|>assistant<|channel|>final<|message|>5", "5"),
    ],
)
async def test_appearance_is_ignored(got, gold):
    """Case, white space, quotes, markup and closing punctuation make no difference."""
    assert (await score(got, gold)).value == 1.0


@pytest.mark.parametrize(
    ("got", "gold"),
    [
        ("Paris, Texas", "Paris"),
        (".5", "5"),
        ("-5", "5"),
        ("5!", "5"),
        ("10²", "102"),
        ("x₂", "x2"),
        (r"\frac{12}{3}", r"\frac{1}{23}"),
        ("(1,200)", "(1200)"),
        ("", "x"),
        ("...", "?"),
    ],
)
async def test_meaning_is_kept(got, gold):
    """Signs, digits' places, powers and extra words do make a difference."""
    assert (await score(got, gold)).value == 0.0


async def test_aliases_count():
    """Any of the aliases in the metadata is as good as the reference."""
    assert (await score("USA", "United States", answer_aliases=["USA", "US"])).value == 1.0


@pytest.mark.parametrize("gold", [None, "", " ", "\n\t", "\u00a0\u3000"])
async def test_no_reference_is_unscored(gold):
    """Without a reference answer nothing is right or wrong, and white space is none."""
    result = await score("x", gold)
    assert result.value is None
    assert result.failure.kind is FailureKind.GRADER


@given(st.text())
def test_normalising_is_idempotent_enough_to_compare(text):
    """Every text equals itself after normalisation, and extraction never raises."""
    assert normalise(text) == normalise(text)
    final_answer(text)


@given(st.text(alphabet="{}\\abx", max_size=30))
def test_a_box_is_balanced(inside):
    """Whatever stands around it, a boxed answer that is found has balanced braces."""
    found = last_boxed("\\boxed{" + inside + "} tail")
    bare = (found or "").replace("\\\\", "").replace("\\{", "").replace("\\}", "")
    assert bare.count("{") == bare.count("}")
