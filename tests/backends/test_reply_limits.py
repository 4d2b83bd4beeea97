"""A reply may be asked for that is longer than a model's whole window: the limit is left out, and the call answered."""

import pytest

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.error_bodies import ErrorDetails

SAID = [
    "max_tokens=2048 cannot be greater than max_model_len=1024. Please request fewer output tokens.",
    "'max_tokens' or 'max_completion_tokens' is too large: 2048. This model's maximum context length is 1024 tokens.",
    "The value of max_tokens may not be greater than the model's window",
]


@pytest.mark.parametrize("said", SAID)
def test_a_limit_that_does_not_fit_is_left_to_the_endpoint(said):
    """Once refused, as much or more is not sent again, and what fits still is."""
    dialect = Dialect()
    assert dialect.limit(2048) == 2048
    assert dialect.learn({"max_tokens": 2048}, ErrorDetails(said, "", ""))
    assert [dialect.limit(tokens) for tokens in (None, 512, 2048, 4096)] == [None, 512, None, None]


def test_a_prompt_that_is_too_long_is_no_matter_of_the_limit():
    """Nothing is concluded from a prompt that fills the window."""
    dialect = Dialect()
    said = "This model's maximum context length is 1024 tokens, but the prompt holds 3000. Please shorten it."
    assert not dialect.learn({"max_tokens": 16}, ErrorDetails(said, "", ""))
    assert dialect.limit(16) == 16
