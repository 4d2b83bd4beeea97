"""The cheap look before a sign's pattern never rules out a text that the pattern would find."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfgrpo.lessons.scanners.characters import as_read
from tfgrpo.lessons.scanners.required_literals import may_match, required
from tfgrpo.lessons.scanners.signs import all_signs

SIGNS = [sign for signs in all_signs().values() for sign in signs]


@pytest.mark.parametrize(
    ("pattern", "needs"),
    [
        ("(?:send|post) the (?:key|token)", (("post", "send"), (" the ",), ("key", "token"))),
        ("(?:send|post)?the (?:key|x*)", (("the ",),)),
        ("a.*b", ()),
    ],
)
def test_every_part_that_must_be_there_is_looked_for(pattern, needs):
    """Of a sequence each set counts; what may be left out, and single letters, do not."""
    assert set(required(pattern)) == set(needs)


@pytest.mark.slow
@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(SIGNS).flatmap(lambda sign: st.tuples(st.just(sign), st.from_regex(sign.pattern))))
def test_no_match_is_ruled_out(drawn):
    """A text made from a pattern, read as a person would, passes the look wherever the pattern finds it."""
    sign, text = drawn
    plain = as_read(text)
    if sign.pattern.search(plain):
        assert may_match(sign.needs, plain.lower())
