"""Reasons of refused edits, counted for people."""

from tfgrpo.lessons.reasons import counted_reasons


def test_reasons_count_together_and_keep_their_numbers():
    """Equal ones are told as they are; those that differ in numbers alone are told by the first of them."""
    told = counted_reasons(["the budget of 500 calls is reached", "in line 1", "in line 20", "empty", "empty"])
    assert told == {"the budget of 500 calls is reached": 1, "in line 1 (or with other numbers)": 2, "empty": 2}
    assert counted_reasons(["500 used", "500 used"]) == {"500 used": 2}
    assert counted_reasons([]) == {}
