"""Numbers as people and models write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.graders import Numeric
from tfgrpo.graders.numeric import last_number
from tfgrpo.types import FailureKind, Problem, Rollout


async def value(answer, gold, **options):
    """The value numeric gives one answer."""
    (result,) = await Numeric(**options)(Problem("p", "?", gold), [Rollout("p", 0, answer=answer)])
    return result.value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("She makes $1,234.50 a day.", Fraction("1234.5")),
        ("18 dollars", Fraction(18)),
        ("x = -3", Fraction(-3)),
        ("5-3", Fraction(3)),
        ("−7", Fraction(-7)),
        ("-$5", Fraction(-5)),
        ("3/4 cup", Fraction(3, 4)),
        ("1 1/2", Fraction(3, 2)),
        (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\frac34", Fraction(-3, 4)),
        (r"\dfrac{10}{4}", Fraction(5, 2)),
        (r"2.5 \times 10^{3}", Fraction(2500)),
        ("2.5 x 10^-2", Fraction(1, 40)),
        ("6.02e23", Fraction("6.02e23")),
        (".5", Fraction(1, 2)),
        ("3.", Fraction(3)),
        (r"12{,}000", Fraction(12000)),
        ("10 km/h", Fraction(10)),
        ("12cm", Fraction(12)),
        ("the 2 results are 3, 4 and 5", Fraction(5)),
        ("1/0", None),
        ("none", None),
        ("x2", None),
    ],
)
def test_the_last_number_is_read_exactly(text, number):
    """Commas, signs, fractions, powers of ten and units are understood."""
    found = last_number(text)
    assert (found.value if found else None) == number


@pytest.mark.parametrize(
    ("got", "gold", "expected"),
    [
        (r"so it is \boxed{18}.", "18", 1.0),
        ("18.0", "18", 1.0),
        ("50%", "50", 1.0),
        ("50%", "0.5", 1.0),
        ("0.5", "50\\%", 1.0),
        ("5%", "50%", 0.0),
        ("0.3333333", "1/3", 1.0),
        ("0.33", "1/3", 0.0),
        ("19", "18", 0.0),
        ("no idea", "18", 0.0),
        ("1e9999", "1e400", 0.0),
        ("1e999999999", "1e400", 0.0),
        ("9" * 5000, "18", 0.0),
    ],
)
async def test_answers_are_compared_as_numbers(got, gold, expected):
    """Equal numbers score 1 however written; no number at all scores 0."""
    assert await value(got, gold) == expected


async def test_tolerance_is_an_option():
    """A looser relative tolerance accepts a rounded answer."""
    assert await value("0.33", "1/3", rel_tol=0.02) == 1.0


async def test_a_reference_without_number_is_unscored():
    """A reference that is no number says so, and nothing is called wrong."""
    (result,) = await Numeric()(Problem("p", "?", "Paris"), [Rollout("p", 0, answer="5")])
    assert result.failure.kind is FailureKind.GRADER
    assert "use exact" in result.failure.message


@given(st.integers(-(10**12), 10**12))
def test_every_integer_is_read_back(number):
    """An integer in a sentence is read as itself, with and without thousands commas."""
    assert last_number(f"it is {number}.").value == number
    assert last_number(f"it is {number:,} units").value == number


@given(st.text(alphabet="0123456789.,/-+e%$ \\frac{}^x", max_size=40))
def test_reading_never_raises(text):
    """No mixture of digits and signs makes the reader raise."""
    last_number(text)
