"""How numbers and strangers' texts read on the page."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experience_db import Edit, Evidence, Op, UnappliedEdit
from tfgrpo.report import formatting
from tfgrpo.report.data import Refused
from tfgrpo.report.text import fenced, inline


@settings(deadline=None)
@given(st.text())
def test_nothing_stays_invisible(text):
    """No control, no bidi override and no half surrogate is left, and the result is UTF-8."""
    shown = formatting.visible(text)
    shown.encode()
    assert not formatting._UNSEEN.search(shown)


def test_a_hidden_sign_names_itself():
    """A form feed where a formula began, or a reversed file name, can be seen for what it is."""
    assert formatting.visible("\x0crac{1}{2} \u202egnp.exe \ud800") == "⟨U+000C⟩rac{1}{2} ⟨U+202E⟩gnp.exe ⟨U+D800⟩"
    assert formatting.visible("a\tb\r\nc\n") == "a\tb\nc\n"


@settings(deadline=None)
@given(st.text(alphabet="ab \n.", max_size=40), st.text(alphabet="ab \n.", max_size=40))
def test_a_diff_holds_both_texts(old, new):
    """What is kept and removed is the old text, what is kept and added the new one."""
    pieces = formatting.word_diff(old, new)
    assert "".join(t for kind, t in pieces if kind != "ins") == old
    assert "".join(t for kind, t in pieces if kind != "del") == new


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (formatting.number(None), "–"),
        (formatting.number(float("nan")), "–"),
        (formatting.signed(-0.25), "−0.250"),
        (formatting.ends(0.1, None), ""),
        (formatting.ends(-0.1, 0.2, sign=True), "[−0.100, +0.200]"),
        (formatting.p_value(0.00001), "p\u00a0<\u00a00.001"),
        (formatting.money(None), "unknown"),
        (formatting.money(0.0), "0.00"),
        (formatting.money(0.0012), "0.0012"),
        (formatting.duration(7200), "2.0 h"),
        (formatting.when(0), "–"),
        (formatting.plural(1, "reply", "replies"), "1 reply"),
        (formatting.plural(1200, "reply", "replies"), "1,200 replies"),
        (formatting.one_line("a  b\nc" * 9, 8), "a b ca …"),
        (formatting.rewards((1.0, None, 0.5)), "1 – 0.5"),
    ],
)
def test_numbers_read_well(made, said):
    """Unknown is a dash or a word, never a zero."""
    assert made == said


def test_how_something_was_measured_names_the_edit_and_the_company():
    """An effect of an update is against the earlier words, and one of a bundle is of many."""
    update = Evidence("gate", 0.1, detail={"edit": [["UPDATE", [1], "x"]]}, lesson_ids=(1,))
    assert formatting.how(update) == "gate of UPDATE"
    assert formatting.how(Evidence("gate", 0.1, lesson_ids=(1, 2, 3))) == "gate, with 2 others"


def test_a_long_list_of_facts_is_shortened():
    """All numbers of a measurement fit on a line or two."""
    (name, told), *_ = formatting.facts({"touched": list(range(40)), "edit": [1], "none": None})
    assert name == "touched"
    assert told.endswith("11, and 28 more")


def test_equal_reasons_are_counted_together():
    """Thirty edits that repeat a lesson are one line, whichever lesson it is."""
    edit = Edit(Op.ADD, "x")
    told = ["lesson 2 says the same", "lesson 13 says the same", "too long"]
    refused = [Refused(UnappliedEdit(i, edit, "rejected", reason, 0), ()) for i, reason in enumerate(told)]
    assert formatting.reasons(refused) == "2 × lesson 2 says the same (or with other numbers); 1 × too long"


def test_a_configuration_becomes_dotted_keys():
    """Nested tables are flat, and what is empty is a dash."""
    assert formatting.flat({"a": {"b": 1, "c": {}}, "d": None}) == [("a.b", "1"), ("a.c", "–"), ("d", "–")]


@settings(deadline=None)
@given(st.text())
def test_a_fence_is_longer_than_any_in_the_text(text):
    """A model cannot end the block its text stands in."""
    first, *inside, last = fenced(text).split("\n")
    assert first == f"{last}text"
    assert set(last) == {"`"}
    assert all(last not in line for line in inside)


@settings(deadline=None)
@given(st.text())
def test_inline_text_has_no_markup_and_one_line(text):
    """Every sign that Markdown reads is escaped, also where a table cell would end."""
    made = inline(text)
    assert "\n" not in made
    for i, sign in enumerate(made):
        if sign in "|<>[]`*_#":
            assert made[i - 1] == "\\"


def test_a_diff_of_long_texts_is_all_of_both():
    """Words of texts that nobody reads word by word are not compared."""
    old, new = "a b " * 400, "a c " * 400
    assert formatting.word_diff(old, new) == [("del", old), ("ins", new)]
    assert formatting.word_diff(old, old) == [("same", old)]
