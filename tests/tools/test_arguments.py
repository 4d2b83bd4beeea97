"""Arguments of a call against a schema, in words that a model can act on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.tools.arguments import argument_fault, read_arguments

SCHEMA = {
    "type": "object",
    "properties": {
        "url": {"type": "string"},
        "page": {"type": ["integer", "null"]},
        "how": {"enum": ["text", "links"]},
        "rate": {"type": "number"},
        "any": {},
    },
    "required": ["url"],
}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"url": "a"}', ""),
        ('{"url": "a", "page": null, "rate": 1, "any": [1], "other": 1}', ""),
        ('{"url": "two\nlines"}', ""),
        ("", "'url' is missing; the arguments are 'url', 'page', 'how', 'rate', 'any'"),
        ("null", "the arguments are a JSON null, not an object"),
        ('"a"', "the arguments are a JSON string, not an object"),
        ('{"url": 1}', "'url' is a JSON integer, not string"),
        ('{"url": "a", "page": 1.5}', "'page' is a JSON number, not integer or null"),
        ('{"url": "a", "how": "x"}', "'how' is 'x'; it is one of 'text', 'links'"),
        ('{"url": "a", "rate": false}', "'rate' is a JSON boolean, not number"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str):
    """Missing, unknown, of the wrong type, or no JSON at all; line breaks in strings are fine."""
    assert read_arguments(text, SCHEMA)[1] == said


@given(
    st.dictionaries(
        st.text(max_size=5), st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.lists(st.integers()))
    )
)
def test_any_object_fits_a_schema_that_asks_for_nothing(arguments: dict[str, object]):
    """What a schema does not name is the tool's own business."""
    assert argument_fault(arguments, {"type": "object"}) == ""
