"""Letters of multiple-choice questions: what is stated counts, what is mentioned does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.graders import Choice
from tfgrpo.graders.choice import chosen_letter
from tfgrpo.graders.choice_reading import chosen_letters
from tfgrpo.types import FailureKind, Problem, Rollout

SETTLED = [
    ("B", "B"),
    ("b", "B"),
    ("(B)", "B"),
    ("(b)", "B"),
    ("B.", "B"),
    ("b)", "B"),
    ("[B]", "B"),
    ("B) because it is larger", "B"),
    ("B. Paris", "B"),
    ("B: Paris", "B"),
    ("The answer is B", "B"),
    ("the answer is: (c).", "C"),
    ("the answer is b.", "B"),
    ("Answer: D", "D"),
    ("Answer: (D) both of them", "D"),
    ("ANSWER: D", "D"),
    ("Final Answer: **D**", "D"),
    (r"\boxed{\text{(E)}}", "E"),
    (r"\boxed{B}", "B"),
    (r"so $\boxed{\textbf{(B)}\ 12}$", "B"),
    ("<answer>a</answer>", "A"),
    ("**C**", "C"),
    ("A is wrong, so I choose option B.", "B"),
    ("Both (A) and (C) look right, yet (C) fits.", "C"),
    ("A man walks into a bar. The correct choice is D", "D"),
    ("<think>(A)?</think> It must be C", "C"),
    ("[THINK]Could be A. The answer is A?[/THINK]B", "B"),
    ("The answer is A because of symmetry", "A"),
    ("The answer is Paris (B).", "B"),
    ("The correct answer is clearly option C, Paris.", "C"),
    ("My choice: C", "C"),
    ("B is correct.", "B"),
    ("Option B is the right answer", "B"),
    ("I think B", "B"),
    ("So B.", "B"),
    ("Definitely B!", "B"),
    ("Therefore, (B).", "B"),
    ("That leaves B.", "B"),
    ("I'd go with B.", "B"),
    ("I'm going with D", "D"),
    # What follows the stated answer does not change it.
    ("The correct answer is C. I did not choose option A since it is negative.", "C"),
    ("**Correct answer: C**\n\nExplanation: Option D fails.", "C"),
    ("The correct answer is C.\n\nWhy not option B? It is smaller.", "C"),
    ("The answer is B. Option A would be the choice for odd numbers.", "B"),
    ("B\n\nA is too small, C is too large, D is no number.", "B"),
    ("B) because it is larger. (A) is smaller.", "B"),
    ("Answer: C\nA: too small\nB: too large", "C"),
    ("C is correct. A and B are not.", "C"),
    ("The answer is D (not A).", "D"),
    ("The answer is B, not A.", "B"),
    ("The answer is C. A student might say the answer is A.", "C"),
    ("The answer is C. If n were odd, the answer would be A.", "C"),
    ("The answer is C. Could the answer be B? No.", "C"),
    # People correct themselves.
    ("The answer is A. Wait, no. The answer is B.", "B"),
    ("First answer: A. Final answer: B.", "B"),
    ("My first answer was A, but it is B.", "B"),
    ("I do not think the answer is A. It must be B.", "B"),
    ("The answer is not A but B.", "B"),
    ("A) 3\nB) 4\nC) 5\nThe answer is B.", "B"),
    ("A) red\nB) blue\n\nB", "B"),
    # Other scripts and languages.
    ("答案是B。", "B"),
    ("选B", "B"),
    ("答案为D", "D"),
    ("答案：Ｂ", "B"),
    ("Ｂ", "B"),
    ("（Ｂ）", "B"),
    ("故选：C", "C"),
    ("正确答案是C，不是A。", "C"),
    ("不选A，选B", "B"),
    ("不是A，而是B。", "B"),
    ("B选项正确，A选项错误。", "B"),
    ("正解はBです", "B"),
    ("答えは C です。", "C"),
    ("정답은 B입니다", "B"),
    ("Die Antwort ist B.", "B"),
    ("Réponse : C", "C"),
    ("La respuesta correcta es D.", "D"),
]
UNSETTLED = [
    "The answer is a number.",
    "I do not know",
    "",
    "Apples",
    "A man walks into a bar.",
    # Named, but not chosen.
    "Option A is about cats, option B is about dogs.",
    "Let me look at option B",
    "I considered (B).",
    "Is it B?",
    "The answer is A?",
    "Could the answer be B?",
    "A) 3\nB) 4\nC) 5",
    "(A) red (B) blue (C) green",
    "Vitamin C",
    "Students often choose A.",
    "If you choose A, you lose.",
    # Denied.
    "The answer is not A.",
    "The answer isn't B.",
    "It cannot be C.",
    "not B",
    "I don't think the answer is B.",
    "A is wrong.",
    "B is incorrect, and so is C.",
    "I would never choose D.",
    "Neither A nor B",
    "We can rule out A.",
    "The wrong answer is A.",
    "答案不是A",
    "不选A",
    "B选项错误",
    # Lists and alternatives.
    "A or B",
    "The answer is A or B.",
    "Either A or C",
    "The answer could be A or C",
    "A或B",
]


@pytest.mark.parametrize(("text", "letter"), SETTLED)
def test_the_chosen_letter_is_found(text, letter):
    """Bare, bracketed, boxed and spoken letters are read; what is said of other options afterwards changes nothing."""
    assert chosen_letter(text) == letter


@pytest.mark.parametrize("text", UNSETTLED)
def test_an_option_that_is_not_chosen_is_no_answer(text):
    """Words are not letters; a letter that is named, asked, denied or one of two is no answer."""
    assert chosen_letter(text) is None


@pytest.mark.parametrize("text", ["F", "The answer is F. (A) is too small.", "Answer: Z", r"\boxed{F} A", "选F"])
def test_a_letter_beyond_the_options_is_refused(text):
    """A stated letter that the question does not offer is no answer, and no other letter takes its place."""
    assert chosen_letter(text) is None


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("A, C", "AC"),
        ("A and C", "AC"),
        ("AC", "AC"),
        ("(A), (C) and (D)", "ACD"),
        ("The answers are A and C.", "AC"),
        ("The correct options are B & D", "BD"),
        ("A and C are correct", "AC"),
        ("答案是A、C", "AC"),
        ("答案：ACD", "ACD"),
        ("A和C", "AC"),
        ("A/C", "AC"),
        (r"\boxed{A, C}", "AC"),
        ('["A", "C"]', "AC"),
        ("BAD", ""),
    ],
)
def test_several_letters_are_read_together(text, letters):
    """Letters that are stated together are one answer."""
    assert chosen_letters(text).letters == set(letters)


async def values(gold, *answers, letters="ABCDE"):
    """The values of some answers."""
    scores = await Choice(letters)(Problem("p", "?", gold), [Rollout("p", i, answer=a) for i, a in enumerate(answers)])
    return [score.value for score in scores]


async def test_choice_scores_letters():
    """The right letter scores 1, another or none scores 0."""
    assert await values("B", "(b)", "C", "no idea", "B and C", "B or C") == [1.0, 0.0, 0.0, 0.0, 0.0]


async def test_several_right_letters_are_all_wanted():
    """A reference of two letters is met by both and by nothing less or more; "or" asks for one of them."""
    for gold in ("A, C", "AC", "A and C", "(A) and (C)", "Answer: A, C"):
        assert await values(gold, "A, C", "CA and", "C and A", "A", "A, B, C", "A or C") == [1, 0, 1, 0, 0, 0], gold
    assert await values("A or C", "A", "C", "B", "A, C") == [1.0, 1.0, 0.0, 0.0]


async def test_other_letters_are_an_option():
    """Ten choices are possible."""
    assert await values("J", "The answer is J.", letters="ABCDEFGHIJ") == [1.0]


@pytest.mark.parametrize("gold", ["Paris", "F", "A, F", "  ", "42", "A is wrong"])
async def test_a_reference_that_is_no_letter_is_unscored(gold):
    """A reference outside the letters says so, and nothing is called wrong."""
    (score,) = await Choice()(Problem("p", "?", gold), [Rollout("p", 0, answer="B")])
    assert score.failure.kind is FailureKind.GRADER
    assert "reference" in score.failure.message


@given(st.text(alphabet="ABab ().,:?\nnotrisweTh答案是选或", max_size=60))
def test_reading_never_raises(text):
    """Whatever stands in a reply, a letter or nothing is read."""
    assert all(len(letter) == 1 for letter in chosen_letters(text).letters)


ODD = [
    (r"The answer is \(B\).", "B"),
    (r"**Answer:** \[B\]", "B"),
    ("I would say Ｂ", "B"),
    ("Answer: A. Wait, no: B.", "B"),
    ("Answer: A. Actually, B.", "B"),
    ("Answer: A. No, wait: there is no B.", "A"),
    ("Ruling out A, B and D leaves C.", "C"),
    ("A: no. B: no. C: yes. D: no.", "C"),
    ("A) false\nB) false\nC) true\nD) false", "C"),
    ("I was going to say B, but the answer is D.", "D"),
    ("The answer isn't A but B.", "B"),
    ("Answer: none of the above (E)", "E"),
    ("Answer: B. (Not C, although C is tempting: the answer would be C if x>0.)", "B"),
    ("Les réponses correctes sont A et C", "AC"),
    ("La bonne réponse est la B.", "B"),
    ("Die richtige Antwort ist C.", "C"),
    ("La respuesta correcta es la opción D.", "D"),
    ("Правильный ответ: Б", ""),
    ("Ответ: B", "B"),
    ("答えはBです。", "B"),
    ("答案不是A，而是D。", "D"),
    ("选项A和C都是正确的", "AC"),
    ("Option Ｂ．", "B"),
    ("(a)", "A"),
    ("a", "A"),
    ("\\boxed{\\text{(C)}}", "C"),
    ("\\boxed{C. 42}", "C"),
    ("\\boxed{A \\text{ and } D}", "AD"),
    ("**Final Answer:** `B`", "B"),
    ("Final answer → (D)", "D"),
    ("Answer: Both A and B", "AB"),
    ("Answer: Neither A nor B", ""),
    ("Answer: A or B", "AB"),
    ("I'm not sure between A and B", ""),
    ("Is it A? Is it B? It's C.", "C"),
    ("Correct answer = D) 12 m/s because A = F/m", "D"),
    ("Vitamin C is the answer to the question, i.e. option B.", ""),
    ("Answer: ABD", "ABD"),
    ("Answer: BAD", ""),
    ("Select option B, not option C.", "B"),
    ("B is incorrect, C is incorrect, D is incorrect, so A.", "A"),
    ("Among the options, only (C) satisfies both conditions.", "C"),
    ("<answer>D</answer> hmm, maybe B", "D"),
    ("Student says A. Teacher says B. The correct choice: B", "B"),
    ("C.\n\nExplanation: A is wrong because A ignores friction.", "C"),
    ("The answer is: \n\nC", "C"),
    ("My answer: C (I considered D first).", "C"),
    ("I choose not A but D.", "D"),
    ("Neither B, C nor D hold; A holds.", "A"),
    ("The answer is definitely not C. It must be B.", "B"),
    ("the correct answer is b", "B"),
    ("answer is option (b) i.e., 12", "B"),
    ("Answer A is wrong", ""),
    ("X", "X"),
    ("The answer cannot be determined.", ""),
    ("A and only A", "A"),
    ("E) None of these", "E"),
    ("So the answer is A... wait, no. The answer is B.", "B"),
    ("The answer is A, B, and C are wrong.", "A"),
    ("Answer: A B D", "ABD"),
    ("So the answer is A. Wait, actually it's B.", "B"),
    ("The answer is A, but B and C could be argued.", "A"),
]


@pytest.mark.parametrize(("text", "letters"), ODD)
def test_odd_ways_to_say_it(text, letters):
    """Tables of verdicts, corrections, other languages, names that end in a letter, letters with blanks between."""
    assert chosen_letters(text).letters == set(letters)
