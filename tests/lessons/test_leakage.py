"""A lesson that gives its source problem away is refused; a general lesson is not."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.lessons.leakage import leak_reason, plain_math
from tfgrpo.types import Problem

WALK = Problem(
    "walk",
    "Every morning Aya goes for a $9$-kilometer-long walk and stops at a coffee shop. When she walks at $s+2$ "
    "kilometers per hour, the walk takes her 2 hours and 24 minutes, including $t$ minutes there. Find the minutes.",
    "204",
)
GAME = Problem(
    "game",
    "Alice and Bob play a game with a stack of $n$ tokens. On each turn a player removes 1 or 4 tokens. Find how many "
    "$n$ up to $2024$ let Bob win.",
    "809",
)
PROBABILITY = Problem(
    "prob", "A fair coin is thrown until two heads follow each other. How likely is it?", r"\frac{1}{2}"
)
DIGIT = Problem("digit", "How many real roots does the equation $x^2+3=0$ have?", "7")
NEGATIVE = Problem("negative", "Find the slope of the line.", "-12")
ROOT = Problem("root", "Find the height of the triangle.", r"$3\sqrt{3}$")
FORMULA = Problem("formula", "Factor the polynomial.", "x^2+1")
INTERVAL = Problem("interval", "Solve the inequality.", r"\left(-\infty, 0\right]")
THOUSAND = Problem("thousand", "How many ways are there?", "1,234")
UNIT = Problem("unit", "How wide is the gate?", "12 cm")
RIGHT = Problem(
    "right", "In a right triangle one angle is $90^\\circ$ and the hypotenuse is 17. Find the other leg.", "90"
)
WEB = Problem(
    "web",
    'What program funded the SUPPLY project of EHA, described on www.ehaweb.org as "blood for all"? And when?',
    "The project is funded by EU4Health. It started on September 1, 2022, and lasts for 18 months.",
    {"root_url": "https://hospital.example/start"},
)
CITY = Problem(
    "city", "Where was the duplicate submission statement of the Ferrum conference agreed upon?", "Charleston"
)
CHOICE = Problem("choice", "Which gas do plants take in? (A) oxygen (B) carbon dioxide (C) argon", "B")
YES = Problem("yes", "Are Christopher Nolan and Sathish Kalathil both film directors?", "yes")
WORD = Problem("word", "What do plants do with light?", "photosynthesis")
TINY = Problem("tiny", "Please help me with this one. Compute 3 glorp 5.", "5")
ONE = Problem("one", "How many solutions are there?", "1")
TRIANGLE = Problem("triangle", "In triangle ABC the point D makes ABCD cyclic. Find the area.", "84")
OPEN = Problem("open", "Write a short poem about the sea.", None)
CHINESE = Problem("zh", "小明从家里出发去学校的路上一共走了三十分钟，请问他每分钟走多少米？", "80")

LEAKS = [
    (WALK, "The walk takes 204 minutes.", "answer"),
    (WALK, "When a stop is included, expect 204, because the stop is fixed.", "answer"),
    (WALK, "The time is two hundred four minutes.", "answer"),
    (WALK, "The time is two hundred and four minutes.", "answer"),
    (WALK, r"The final result is \boxed{204}.", "answer"),
    (WALK, "The answer is 204.0 in minutes.", "answer"),
    (WALK, "When Aya stops for coffee, subtract the stop first.", "Aya"),
    (WALK, "Convert 2 hours and 24 minutes into hours first.", "24"),
    (WALK, "When a walk takes twenty-four minutes more, convert it to hours.", "24"),
    (WALK, "If she goes for a 9 kilometer long walk and stops at a coffee shop, subtract the stop.", "copies"),
    (GAME, "When it is about how Bob wins, look at remainders.", "Bob"),
    (GAME, "Bob wins on multiples: in such games look at losing positions.", "Bob"),
    (GAME, "When counting up to 2024, count remainders per block.", "2024"),
    (GAME, "When counting up to 2,024, count remainders per block.", "2024"),
    (GAME, "Counting the losing positions gives eight hundred nine.", "answer"),
    (PROBABILITY, "The chance is 1/2 by symmetry.", "answer"),
    (PROBABILITY, "The chance is 0.5 by symmetry.", "answer"),
    (PROBABILITY, r"The chance is $\dfrac12$ by symmetry.", "answer"),
    (PROBABILITY, "The chance is ½ by symmetry.", "answer"),
    (PROBABILITY, "The chance is 50% by symmetry.", "answer"),
    (PROBABILITY, "The chance is one half by symmetry.", "answer"),
    (DIGIT, "The answer is 7.", "answer"),
    (DIGIT, "For such equations the result is always seven.", "answer"),
    (DIGIT, "Such equations have a count of roots; 7 is the right answer.", "answer"),
    (DIGIT, r"Finish with \boxed{7}.", "answer"),
    (NEGATIVE, "The slope comes out to -12.", "answer"),
    (ROOT, r"The height is $3 \sqrt{3}$ here.", "answer"),
    (ROOT, "The height is 3√3 here.", "answer"),
    (FORMULA, "One factor is $x^{2} + 1$.", "answer"),
    (INTERVAL, r"The set is $(-\infty,0]$.", "answer"),
    (THOUSAND, "There are 1234 ways.", "answer"),
    (UNIT, "The gate is 12 wide.", "answer"),
    (RIGHT, "The answer is 90.", "answer"),
    (RIGHT, "With a hypotenuse of 17 try a known triple.", "17"),
    (WEB, "Look at ehaweb.org under news.", "ehaweb.org"),
    (WEB, "Start at https://hospital.example/news and follow the links.", "hospital.example"),
    (WEB, "When a page says 'Blood for all', open its news.", "quotation"),
    (WEB, "The SUPPLY project has a page of its own.", "SUPPLY"),
    (WEB, "Such projects started in 2022, so filter by date.", "answer"),
    (CITY, "Statements like these were agreed upon in Charleston.", "answer"),
    (CITY, "When asked about the Ferrum conference, open its statutes.", "Ferrum"),
    (CHOICE, "For gases of plants the answer is (B).", "answer"),
    (CHOICE, "Choose B when plants are concerned.", "answer"),
    (YES, "For questions on two people the answer is yes.", "answer"),
    (YES, "Look up Nolan first.", "Nolan"),
    (WORD, "It is photosynthesis that is meant.", "answer"),
    (TINY, "The answer is 5.", "answer"),
    (CHINESE, "遇到从家里出发去学校的路上的问题时先换算单位", "copies"),
    (WALK, "The time is ２０４ minutes.", "answer"),
    (WALK, "The time is 2 0 4 minutes.", "answer"),
    (WALK, "It takes 2\u200b04 minutes.", "answer"),
    (WALK, "It takes **204** minutes.", "answer"),
    (WALK, "The time is 3 hours and 24 minutes.", "24"),
    (THOUSAND, "There are 1 234 ways.", "answer"),
    (THOUSAND, "There are 1'234 ways.", "answer"),
    (THOUSAND, "There are 1\u00a0234 ways.", "answer"),
    (THOUSAND, r"There are 1{,}234 ways.", "answer"),
    (THOUSAND, "There are twelve hundred thirty-four ways.", "answer"),
    (PROBABILITY, "The chance is fifty percent by symmetry.", "answer"),
    (PROBABILITY, r"The chance is \tfrac{2}{4} by symmetry.", "answer"),
    (NEGATIVE, "The slope is minus twelve.", "answer"),
    (ROOT, "The height is three times the square root of three.", "answer"),
    (ROOT, "The height is 3 * sqrt(3).", "answer"),
    (FORMULA, "One factor is x²+1.", "answer"),
    (FORMULA, "One factor is x**2 + 1.", "answer"),
    (FORMULA, "One factor is x squared plus one.", "answer"),
    (CITY, "Look under CHARLESTON's news.", "answer"),
    (CHOICE, "Plants take in carbon dioxide.", "answer"),
]
UNSEEN = [
    (WALK, "It takes CCIV minutes."),
    (WALK, "It takes 12 times 17 minutes."),
    (PROBABILITY, "It happens in one of two cases."),
    (ROOT, r"The height is $\sqrt{27}$."),
    (CITY, "They agreed on it in the largest city of South Carolina."),
    (CITY, "They agreed on it in C-h-a-r-l-e-s-t-o-n."),
    (CHOICE, "It is the second option."),
    (YES, "Both make films."),
    (WORD, "They make sugar of it."),
]
"""Paraphrases without any literal sign: the check lets them pass, and what is left is the held-out gate."""
GENERAL = [
    (WALK, "When a total time includes a stop, subtract the stop before dividing distance by speed."),
    (WALK, "When two speeds share a distance, write one equation for each, because the difference removes the stop."),
    (WALK, "When units differ, convert 60 minutes to one hour first."),
    (GAME, "When a game removes tokens, tabulate losing positions for small stacks, then prove the period."),
    (GAME, "When both players move 1 or 4 tokens, look for a period."),
    (PROBABILITY, "When outcomes are symmetric, split the cases in half before counting."),
    (PROBABILITY, "When throws repeat, set up one equation per state."),
    (DIGIT, "When a quadratic is given, compute the discriminant before counting 2 or 7 roots."),
    (DIGIT, "When the answer is one of several options, test each."),
    (DIGIT, "Find the discriminant first."),
    (NEGATIVE, "When the line falls, the slope is negative."),
    (ROOT, "When a triangle is equilateral, drop a height and use sqrt(3)/2 of the side."),
    (FORMULA, "When a polynomial has no real root, factor over quadratics such as x^2+10."),
    (INTERVAL, "When an inequality is strict at one end, test both ends."),
    (RIGHT, "When a triangle has a 90-degree angle, use the Pythagorean theorem before trigonometry."),
    (RIGHT, "When angles of a triangle are asked for, use that they sum to 180 degrees."),
    (WEB, "When a question asks for two dates, find both on the page before answering."),
    (WEB, "When a project page is thin, open the funder's page, because programs list their grants."),
    (CITY, "When a question asks where something was agreed upon, open the statutes before the news."),
    (CHOICE, "When options differ in one word, say what the word changes."),
    (CHOICE, "Be careful with option labels."),
    (YES, "When two people are compared, look up each of them on a page of their own."),
    (WORD, "When a process is asked for, name the input and the output."),
    (TINY, "Treat glorp as max."),
    (TINY, "Start with the left one."),
    (TINY, "When a problem says glorp, take the larger of both numbers, because glorp is max."),
    (ONE, "When the answer is one of the listed options, test each of them."),
    (TRIANGLE, "When the sides of triangle ABC are given, and ABCD is cyclic, use the law of cosines."),
    (OPEN, "When a poem is asked for, choose the metre first."),
    (CHINESE, "遇到单位不同的问题时，先换算单位再列式。"),
    (CHOICE, "When a question asks which gas, recall what the process gives off."),
    (PROBABILITY, "When a chance is asked for in percent, convert at the end."),
    (ROOT, "When a height is asked for, drop the square root of the sum last."),
    (FORMULA, "When an expression is squared plus a constant, try a difference of squares."),
    (THOUSAND, "When groups of 3 or 4 are counted, add the cases 1 to 4 first."),
]


@pytest.mark.parametrize(("problem", "lesson", "sign"), LEAKS)
def test_lesson_that_gives_the_problem_away_is_refused(problem: Problem, lesson: str, sign: str) -> None:
    """The reason names the sign: the answer, an entity, a number or a copy."""
    reason = leak_reason(lesson, problem)
    assert reason is not None
    assert sign in reason


@pytest.mark.parametrize(("problem", "lesson"), GENERAL)
def test_general_lesson_passes(problem: Problem, lesson: str) -> None:
    """General advice about the same subject is no leak."""
    assert leak_reason(lesson, problem) is None


@pytest.mark.parametrize(("problem", "lesson"), UNSEEN)
def test_a_paraphrase_without_a_literal_sign_is_left_to_the_gate(problem: Problem, lesson: str) -> None:
    """What the check is known to miss; whoever teaches it more moves the case up."""
    assert leak_reason(lesson, problem) is None


@pytest.mark.parametrize(("problem", "lesson"), [(p, x) for p, x, sign in LEAKS if sign == "answer"])
def test_reason_never_repeats_the_answer(problem: Problem, lesson: str) -> None:
    """Reasons are shown to the model that writes lessons, so they must not hold the answer."""
    assert leak_reason(lesson, problem) == "it states the answer of its source problem"


def test_missing_answer_leaks_nothing() -> None:
    """A problem without a reference answer can only leak by its own words."""
    assert leak_reason("The answer is None.", OPEN) is None


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        (r"\frac{1}{2}", "1/2"),
        (r"\tfrac12", "1/2"),
        (r"\frac{x+1}{2}", "(x+1)/2"),
        ("one half", "1/2"),
        ("two thirds", "2/3"),
        ("a half", "1/2"),
        ("the first half", "the first half"),
        ("twenty-four", "24"),
        ("three hundred and five", "305"),
        ("two thousand twenty four", "2024"),
        ("one million two hundred thousand", "1200000"),
        (r"3\sqrt{2}", "3sqrt(2)"),
        (r"45^\circ", "45"),
        (r"\left( 0, \pi \right)", "( 0, pi )"),
    ],
)
def test_plain_form_of_mathematics(written: str, plain: str) -> None:
    """Notations of the same thing become the same text."""
    assert plain_math(written) == plain


@given(
    st.integers(10, 10**6), st.text(alphabet="abcdefgh ,.", max_size=40), st.text(alphabet="abcdefgh ,.", max_size=40)
)
def test_an_answer_of_two_digits_is_found_wherever_it_stands(answer: int, before: str, after: str) -> None:
    """Whatever stands around it, a stated number of two digits or more is found."""
    lesson = f"{before} the answer is {answer} {after}"
    assert leak_reason(lesson, Problem("p", "How many?", str(answer))) is not None


@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=30))
def test_any_text_can_be_checked(lesson: str, question: str, answer: str) -> None:
    """No text makes the check fail, and the verdict is a sentence or nothing."""
    assert leak_reason(lesson, Problem("p", question, answer)) != ""


@pytest.mark.slow
def test_published_lessons_are_rarely_taken_for_leaks_of_unrelated_problems() -> None:
    """Against problems they do not come from, at most one in two hundred pairs is a false alarm."""
    data = Path(os.environ.get("TFGRPO_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (data / "published_experiences.json").exists():
        pytest.skip("needs the public data files: set TFGRPO_DATA")
    sets = json.loads((data / "published_experiences.json").read_text(encoding="utf-8"))["sets"]
    lessons = [item["text"] for one in sets for item in one["experiences"]]
    rows = [json.loads(line) for line in (data / "math_learn_100.jsonl").read_text(encoding="utf-8").splitlines()]
    problems = [Problem(row["id"], row["question"], row["answer"]) for row in rows[:30]]
    alarms = [leak_reason(lesson, problem) for lesson in lessons for problem in problems]
    assert sum(alarm is not None for alarm in alarms) <= len(alarms) / 200
