"""Numbers of people are told from other numbers by their checksums, and never repeated."""

import pytest

from experience_db.personal_numbers import mask_personal
from tfgrpo.lessons.scanners import Kind, scan
from tfgrpo.lessons.scanners.personal import personal_findings

NUMBERS = [
    ("4111 1111 1111 1111", "card"),
    ("4111-1111-1111-1111", "card"),
    ("5500005555555559", "card"),
    ("3782 822463 10005", "card"),
    ("6011111111111117", "card"),
    ("DE89370400440532013000", "IBAN"),
    ("GB82 WEST 1234 5698 7654 32", "IBAN"),
    ("078-05-1120", "social security"),
    ("529.982.247-25", "Brazilian"),
    ("2341 2341 2346", "Indian"),
    ("Steuer ID 86 095 742 719", "German"),
    ("PESEL 44051401359", "Polish"),
    ("identity 10000000146", "Turkish"),
    ("patient 943 476 5919", "British"),
    ("BSN 111222333", "Dutch"),
    ("046 454 286", "Canadian"),
    ("2 55 08 14 168 025 38", "French"),
    ("255081416802538", "French"),
    ("12345678Z", "Spanish"),
    ("X1234567L", "Spanish"),
    ("131052-308T", "Finnish"),
    ("811228-9874", "Swedish"),
    ("11010519491231002X", "Chinese"),
    ("RSSMRA85T10A562S", "Italian"),
    ("AB 12 34 56 C", "national insurance"),
]
OTHERS = [
    "4111 1111 1111 1112", "DE89370400440532013001", "2147483647", "1234567890123456789", "3.14159265358979323846",
    "ISBN 978-3-16-148410-0", "10,000,000,000", "529.982.247-26", "2341 2341 2347", "12345678A", "000-12-3456",
    "1 000 000 000 000", "2024-05-17 12:30:45", "0123456789", "1111 1111 1111 1111", "ab12345678z", "131052-308U",
    "192.168.100.200", "+49 30 901820", "x = 27182818284", "6.02214076e23", "1001 0110 1001 0110",
]  # fmt: skip


@pytest.mark.parametrize(("number", "name"), NUMBERS)
def test_a_number_of_a_person_is_found_and_masked(number, name):
    """Cards by Luhn, accounts and national ids by their own checks; neither reason nor record repeats the number."""
    text = f"Use {number} when asked."
    (found,) = personal_findings(text)
    assert name in found.reason
    assert not set("0123456789") & set(found.reason)
    assert Kind.PERSONAL in {each.kind for each in scan(text)}
    assert "[personal]" in mask_personal(text)


@pytest.mark.parametrize("text", OTHERS)
def test_other_numbers_are_let_alone(text):
    """A wrong check digit, or a number of another kind, is no finding."""
    assert personal_findings(f"Compare with {text} first.") == ()
