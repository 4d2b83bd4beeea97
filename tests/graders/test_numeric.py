"""Numbers as people and models write them."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.graders import Numeric
from tfgrpo.graders.number_reading import read_number
from tfgrpo.types import FailureKind, Problem, Rollout


async def value(answer, gold, **options):
    """The value numeric gives one answer."""
    (result,) = await Numeric(**options)(Problem("p", "?", gold), [Rollout("p", 0, answer=answer)])
    return result.value


READ = [
    ("She makes $1,234.50 a day.", Fraction("1234.5")),
    ("18 dollars", 18),
    ("x = -3", -3),
    ("-7", -7),
    ("-$5", -5),
    ("$-5$", -5),
    ("minus 5", -5),
    ("negative 5", -5),
    ("+5", 5),
    ("3/4 cup", Fraction(3, 4)),
    (r"\frac{3}{4}", Fraction(3, 4)),
    (r"-\frac34", Fraction(-3, 4)),
    (r"\dfrac{10}{4}", Fraction(5, 2)),
    (r"2.5 \times 10^{3}", 2500),
    ("2.5 x 10^-2", Fraction(1, 40)),
    ("2.5×10³", 2500),
    ("6.02e23", Fraction("6.02e23")),
    (".5", Fraction(1, 2)),
    ("3.", 3),
    ("10 km/h", 10),
    ("12cm", 12),
    ("10 cm^2", 10),
    ("5 m²", 5),
    ("2^5", 32),
    ("10²", 100),
    ("5!", 120),
    # Dashes.
    ("−7", -7),
    ("–5", -5),
    ("—5", -5),
    ("‑5", -5),
    ("－5", -5),
    ("﹣5", -5),
    ("$–5", -5),
    # Digit groups.
    (r"12{,}000", 12000),
    ("1,00,000", 100000),
    ("12,34,567.5", Fraction("1234567.5")),
    ("1 000 000", 10**6),
    ("1\u00a0000", 1000),
    ("1\u202f234,5", Fraction("1234.5")),
    ("1.234.567", 1234567),
    ("1.234,5", Fraction("1234.5")),
    ("1'234'567.5", Fraction("1234567.5")),
    ("1’234", 1234),
    ("1_000_000", 10**6),
    ("1,5", Fraction(3, 2)),
    ("0,123", Fraction("0.123")),
    ("1,234", 1234),
    ("1.234", Fraction("1.234")),
    ("٥٠٠", 500),
    ("５００", 500),
    # Words of size.
    ("1 million", 10**6),
    ("2.5 billion dollars", 2500 * 10**6),
    ("3 thousand", 3000),
    ("5k", 5000),
    ("$5M", 5 * 10**6),
    ("5 m", 5),
    ("3 lakh", 300000),
    ("5万", 50000),
    ("seven", 7),
    ("twenty-one", 21),
    ("two hundred and four apples", 204),
    ("one half", Fraction(1, 2)),
    ("two and a half million", 2500000),
    # Mixed fractions.
    ("1 1/2", Fraction(3, 2)),
    ("2½", Fraction(5, 2)),
    ("2 ½", Fraction(5, 2)),
    ("½", Fraction(1, 2)),
    ("-2½", Fraction(-5, 2)),
    ("1-1/2", Fraction(3, 2)),
    ("1 and 1/2", Fraction(3, 2)),
    (r"2\frac{1}{2}", Fraction(5, 2)),
    # One number, said in more words.
    ("Answer: 5 apples (since 3 + 2 = 5)", 5),
    ("Answer: 5. I checked 3 and 2.", 5),
    ("The answer is 5 because 7 is too large.", 5),
    ("48/2 = 24 in May.\nAltogether 48 + 24 = 72 clips.", 72),
    ("So the total for the 5 days is 35.", 35),
    ("Step 1: add. Step 2: subtract.\nShe has 12 left.", 12),
    ("it took some steps\n#### 18", 18),
    ("not 5 but 7", 7),
    ("It is 5, not 7.", 5),
    ("50% (0.5)", 50),
    ("5 (5.0)", 5),
    ("答案是5", 5),
    ("共5个", 5),
    (r"\boxed{5\text{ dollars}}", 5),
    ("about 5", 5),
    ("≈ 5.2", Fraction("5.2")),
    ("<think>4</think>5", 5),
]
UNREAD = [
    "1/0", "none", "x2", "COVID-19", "", "B12", "5-3", "5 - 3", "5 + 3", "5 * 3", "7 or 5", "5 or 7", "five or six",
    "5 or six", "3, 4 and 5", "the 2 results are 3, 4 and 5", "3,4,5", "5 and 6", "not 5", "It is not 5.", "isn't 5",
    "never 5", "≠ 5", "x != 5", "other than 5", "rather than 5", "不是5", "between 4 and 5", "4-5", "4–5", "4 to 5",
    "from 4 to 5", "at least 5", "at most 5", "more than 5", "less than 5", "over 5", "up to 5", "> 5", "x ≥ 5",
    r"x \le 5", "5 or more", "5+", "至少5", "±5", "5 ± 1", r"5 \pm 1", "7 = 5", "10:30", "3:2", "2024-05-01",
    "1/2/2024", "1.2.3", "192.168.0.1", "5x", "5π", r"5\pi", "√5", r"\sqrt{5}", "2√5", "5i", "5(3)", "5^6^7",
    "2^99999", "5!!", "9" * 5000,
    "1,0000,0", "5 or (7)", "Answer: 5 (or 7)",
]  # fmt: skip


@pytest.mark.parametrize(("text", "number"), READ)
def test_the_one_number_is_read_exactly(text, number):
    """Signs, digit groups of any locale, fractions, powers, words of size and units are understood."""
    found = read_number(text)
    assert (found.value if found else None) == number


@pytest.mark.parametrize("text", UNREAD)
def test_what_is_not_one_number_is_none(text):
    """Several numbers, ranges, bounds, denials, dates, ratios, formulas and names are no number."""
    assert read_number(text) is None


@pytest.mark.parametrize(
    ("got", "gold", "expected"),
    [
        (r"so it is \boxed{18}.", "18", 1.0),
        ("18.0", "18", 1.0),
        ("50%", "50", 1.0),
        ("50%", "0.5", 1.0),
        ("0.5", "50\\%", 1.0),
        ("5%", "50%", 0.0),
        ("500%", "5", 0.0),
        ("500%", "500", 1.0),
        ("5", "500%", 0.0),
        ("50 percent", "0.5", 1.0),
        ("1 million", "1", 0.0),
        ("1,00,000", "0", 0.0),
        ("5!", "5", 0.0),
        ("7=5", "5", 0.0),
        ("–5", "5", 0.0),
        ("1 000", "1000", 1.0),
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


@pytest.mark.parametrize("gold", ["Paris", "7 or 5", "between 4 and 5", "5-10", "x2", "10:30", "not 5", "at least 5"])
async def test_a_reference_that_is_no_number_is_unscored(gold):
    """A reference that is no number, or more than one, says so, and nothing is called wrong."""
    (result,) = await Numeric()(Problem("p", "?", gold), [Rollout("p", 0, answer="5")])
    assert result.failure.kind is FailureKind.GRADER
    assert "use exact" in result.failure.message


@given(st.integers(-(10**12), 10**12))
def test_every_integer_is_read_back(number):
    """An integer in a sentence is read as itself, with and without thousands commas."""
    assert read_number(f"it is {number}.").value == number
    assert read_number(f"it is {number:,} units").value == number


@given(st.text(alphabet="0123456789.,/-+e%$ \\frac{}^x", max_size=40))
def test_reading_never_raises(text):
    """No mixture of digits and signs makes the reader raise."""
    read_number(text)


ODD = [
    ("٤٢", "42"),
    ("४२", "42"),
    ("４２", "42"),
    ("The total is ১২৩", "123"),
    ("1’234’567", "1234567"),
    ("12 34 567", None),
    ("1,23,456", "123456"),
    ("1.234.567,89", "123456789/100"),
    ("1 234 567,5", "2469135/2"),
    ("1.234", "617/500"),
    ("3,5", "7/2"),
    ("1,000", "1000"),
    ("0,001", "1/1000"),
    ("−7", "-7"),
    ("–7", "-7"),
    ("﹣7", "-7"),
    ("(7)", "7"),
    ("minus seven", "-7"),
    ("negative 7", "-7"),
    ("not 5", None),
    ("isn't 5", None),
    ("roughly 5", "5"),
    ("≈ 5", "5"),
    ("5 ± 1", None),
    ("5–7", None),
    ("5 to 7", None),
    ("between 4 and 5", None),
    ("7 or 5", None),
    ("either 7 or 7", "7"),
    ("5!", "120"),
    ("5!!", None),
    ("½", "1/2"),
    ("2½", "5/2"),
    ("1 1/2", "3/2"),
    ("-1 1/2", "-3/2"),
    ("3 million", "3000000"),
    ("3.5 billion", "3500000000"),
    ("2 dozen", "24"),
    ("1e3", "1000"),
    ("1E-3", "1/1000"),
    ("6.02×10^23", "602000000000000000000000"),
    ("6.02 x 10²³", "602000000000000000000000"),
    ("2^10", "1024"),
    ("√16", None),
    ("10^6", "1000000"),
    ("0x1F", None),
    ("1/3", "1/3"),
    ("22/7", "22/7"),
    ("12:30", None),
    ("2024-05-06", None),
    ("3 hours 20 minutes", None),
    ("$1,234.50", "2469/2"),
    ("€ 12,50", "25/2"),
    ("¥1万", "10000"),
    ("三十五", "35"),
    ("二千零五", "2005"),
    ("one hundred and five", "105"),
    ("twenty-one", "21"),
    ("a dozen", "12"),
    ("no fewer than 5", None),
    ("at most 5", None),
    ("five", "5"),
    ("zero", "0"),
    ("none", None),
    ("x = 5", "5"),
    ("x=5 or x=-5", None),
    ("x = ±5", None),
    ("The answer is 5. (Earlier I said 6.)", "5"),
    ("Answer: 5 apples and 3 pears", None),
    ("He has 3 + 4 = 7 apples", "7"),
    ("3+4", None),
    ("5th", "5"),
    ("5,", "5"),
    ("5.", "5"),
    ("5..", "5"),
    ("1_000_000", "1000000"),
    ("1 000", "1000"),
    ("1\u202f000", "1000"),
    ("1\xa0000", "1000"),
    ("12 000,50 €", "24001/2"),
    ("12'000.50", "24001/2"),
    ("१,२३,४५६", "123456"),
    ("٣٫٥", "7/2"),
    ("١٬٠٠٠", "1000"),
    ("minus 5 degrees", "-5"),
    ("-5°C", "-5"),
    ("5°C", "5"),
    ("5 cm^2", "5"),
    ("5 m/s", "5"),
    ("approximately 3.14", "157/50"),
    ("infinity", None),
    ("NaN", None),
    ("1.5k", "1500"),
    ("15K", "15000"),
    ("2M", "2000000"),
    ("CO2 5", "5"),
    ("Q1: 5", "5"),
    ("The answer is not 4 but 5.", "5"),
    ("It isn't 5; it's 6.", "6"),
    ("less than 5", None),
    ("5 or more", None),
    ("5+", None),
    ("~5", "5"),
    (">5", None),
    ("=5", "5"),
    ("5.0.1", None),
    ("1,2,3", None),
    ("[5]", "5"),
    ("{5}", "5"),
    ("\\boxed{5}", "5"),
    ("\\boxed{\\frac{1}{2}}", "1/2"),
    ("\\boxed{-\\dfrac{3}{4}}", "-3/4"),
    ("\\boxed{1{,}000}", "1000"),
    ("5 out of 7", None),
    ("5/7 of the cake", "5/7"),
    ("log 5", None),
    ("5x", None),
    ("2 * 3", None),
    ("5 and a half", "11/2"),
    ("five and a half", "11/2"),
    ("three quarters", "3/4"),
    ("one third", "1/3"),
    ("half a dozen", "6"),
    ("two dozen eggs", "24"),
    ("2 and three quarters", "11/4"),
    ("一万二千", "12000"),
    ("负七", "-7"),
    ("二〇二四", "2024"),
    ("万", None),
    ("一百一百", None),
    ("The answer is 5. Wait, actually it's 6.", "6"),
    ("Answer: 5. (Actually, 2024 was a leap year.)", "5"),
    ("5 = x", "5"),
    ("sqrt(16)", None),
    ("ln 5 = 1.6", "1.6"),
]
"""Texts with the number in them, as a fraction; None where there is none."""


@pytest.mark.parametrize(("text", "number"), ODD)
def test_odd_ways_to_write_it(text, number):
    """Digits of other scripts and locales, words, Chinese numerals, denials, bounds, functions, corrections."""
    found = read_number(text)
    assert (found.value if found else None) == (None if number is None else Fraction(number))
