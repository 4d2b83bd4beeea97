"""Every kind of hostile lesson is found and typed; advice is let alone."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experience_db.masking import is_random, mask
from tfgrpo.lessons.scanners import KINDS, Kind, described, scan, visible
from tfgrpo.lessons.scanners.characters import as_read, hidden

from .table import BENIGN, HOSTILE

DATA = Path(os.environ.get("TFGRPO_DATA") or Path(__file__).parents[4] / "shared" / "data")
WORDS = ("the", "sum", "of", "all", "angles", "comes", "first", "then", "compare", "both", "sides")
PUBLISHED = DATA / "published_experiences.json"


SECRETS = [row for row in HOSTILE if Kind.SECRET in row[1]]


@pytest.mark.parametrize(("text", "kinds"), HOSTILE, ids=[ascii(text)[:40] for text, _ in HOSTILE])
def test_hostile_lessons_are_found_and_typed(text, kinds):
    """Each kind that the table names is among the findings, with a reason in words."""
    found = scan(text)
    assert kinds <= {each.kind for each in found}, found
    assert all(len(each.reason.split()) > 2 for each in found)


@pytest.mark.parametrize("text", BENIGN, ids=[ascii(text)[:40] for text in BENIGN])
def test_advice_is_let_alone(text):
    """Nothing is found in what helps to solve problems."""
    assert scan(text) == ()


def test_the_table_is_large_and_covers_every_kind():
    """At least 60 lessons, both sorts, all kinds."""
    assert len(HOSTILE) + len(BENIGN) >= 60
    assert set().union(*(kinds for _, kinds in HOSTILE)) == set(KINDS)


@pytest.mark.skipif(not PUBLISHED.exists(), reason="published_experiences.json is not there; set TFGRPO_DATA")
def test_published_lessons_raise_few_alarms():
    """Of the 98 lessons that others published and use, at most two are stopped."""
    sets = json.loads(PUBLISHED.read_text(encoding="utf-8"))["sets"]
    texts = [each["text"] for group in sets for each in group["experiences"]]
    alarms = {text: described(found) for text in texts if (found := scan(text))}
    assert len(texts) == 98
    assert len(alarms) <= 2, alarms


def test_allowed_kinds_are_let_through():
    """A kind that was allowed by name is no finding; the others stay."""
    text = "Run rm -rf build, then see https://evil.example/x."
    assert {x.kind for x in scan(text)} == {Kind.CODE, Kind.URL}
    assert {x.kind for x in scan(text, allow=("url",))} == {Kind.CODE}
    assert scan(text, allow=(Kind.URL, Kind.CODE)) == ()


def test_a_key_of_this_environment_is_never_allowed():
    """Whatever it looks like and whatever is allowed."""
    found = scan("Use open sesame now.", known=("open sesame",), allow=KINDS)
    assert [x.kind for x in found] == [Kind.SECRET]
    assert "open sesame" not in described(found)


@pytest.mark.parametrize(("text", "kinds"), SECRETS, ids=[ascii(text)[:40] for text, _ in SECRETS])
def test_no_reason_repeats_a_secret_and_masking_takes_it_out(text, kinds):
    """Reasons name the shape; a masked text gives no secret any more."""
    said = described(x for x in scan(text) if x.kind is Kind.SECRET)
    words = {word.strip(string.punctuation) for word in text.split() if any(map(str.isdigit, word)) and len(word) > 7}
    assert not any(word in said for word in words)
    if "PRIVATE KEY" not in text:
        assert "[secret]" in mask(text)
    assert not any(x.kind is Kind.SECRET for x in scan(mask(text)))


def test_a_short_key_takes_nothing_out_of_what_is_kept():
    """Whoever runs a proxy with the key `1` keeps the digits of every session."""
    text = "Order 11 has 1 text of 10 words; the key is correct horse."
    assert mask(text, ("1", "x", "horse")) == text
    assert mask(text, ("correct horse",)) == "Order 11 has 1 text of 10 words; the key is [secret]."


def test_hidden_characters_are_written_out():
    """What a terminal or a reader would not see is spelled in escapes; other scripts stay as they are."""
    assert visible("a\u200bb\x1b[1m\u202ec") == "a\\u200bb\\x1b[1m\\u202ec"
    for text in BENIGN:
        assert visible(text) == text


@given(st.text(max_size=200))
def test_any_text_can_be_scanned(text):
    """No text breaks a scanner, folding leaves nothing hidden of what was hidden, and masking is stable."""
    assert all(each.kind in KINDS and each.reason for each in scan(text))
    assert not hidden(visible(text))
    assert mask(mask(text)) == mask(text)
    as_read(text)


@given(st.text(alphabet="ab \u200b\u2060\u00ad\u202e\U000e0041", min_size=1, max_size=60))
def test_a_hidden_character_never_passes(text):
    """Wherever it stands."""
    assert any(each.kind is Kind.INVISIBLE for each in scan(text)) == any(sign not in "ab " for sign in text)


@given(st.lists(st.sampled_from(WORDS), max_size=12))
def test_words_are_not_random(words):
    """Runs of dictionary words, joined or not, are no secret."""
    assert not is_random("-".join(words) or "a")
    assert scan(" ".join(words)) == ()
