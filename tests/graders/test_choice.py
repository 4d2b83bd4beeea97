"""Letters of multiple-choice questions."""

import pytest

from tfgrpo.graders import Choice
from tfgrpo.graders.choice import chosen_letter
from tfgrpo.types import FailureKind, Problem, Rollout


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B) because it is larger", "B"),
        ("The answer is B", "B"),
        ("the answer is: (c).", "C"),
        ("Answer: D", "D"),
        (r"\boxed{\text{(E)}}", "E"),
        ("<answer>a</answer>", "A"),
        ("**C**", "C"),
        ("A is wrong, so I choose option B.", "B"),
        ("Both (A) and (C) look right, yet (C) fits.", "C"),
        ("A man walks into a bar. The correct choice is D", "D"),
        ("<think>(A)?</think> It must be C", "C"),
        ("The answer is A because of symmetry", "A"),
        ("The answer is a number.", None),
        ("I do not know", None),
        ("F", None),
        ("", None),
        ("Apples", None),
    ],
)
def test_the_chosen_letter_is_found(text, letter):
    """Bare, bracketed, boxed and spoken letters are read; words are not letters."""
    assert chosen_letter(text) == letter


async def test_choice_scores_letters():
    """The right letter scores 1, another or none scores 0."""
    answers = ["(b)", "C", "no idea"]
    scores = await Choice()(Problem("p", "?", "B"), [Rollout("p", i, answer=a) for i, a in enumerate(answers)])
    assert [score.value for score in scores] == [1.0, 0.0, 0.0]


async def test_other_letters_are_an_option():
    """Ten choices are possible."""
    (score,) = await Choice(letters="ABCDEFGHIJ")(Problem("p", "?", "J"), [Rollout("p", 0, answer="The answer is J.")])
    assert score.value == 1.0


async def test_a_reference_that_is_no_letter_is_unscored():
    """A reference outside the letters says so, and nothing is called wrong."""
    (score,) = await Choice()(Problem("p", "?", "Paris"), [Rollout("p", 0, answer="B")])
    assert score.failure.kind is FailureKind.GRADER
