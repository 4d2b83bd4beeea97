"""Seeds of calls: what they depend on, and their range."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tfgrpo.backends.seeds import call_seed, hash_words, last_user_text
from tfgrpo.types import Request, Sampling

BASE = Request("rollout", "tiny", ({"role": "user", "content": "p"},), Sampling(seed=0))


def test_noise_depends_on_problem_attempt_seed_and_role() -> None:
    """Each of the four changes the seed."""
    others = [
        replace(BASE, messages=({"role": "user", "content": "q"},)),
        replace(BASE, attempt=1),
        replace(BASE, sampling=Sampling(seed=1)),
        replace(BASE, role="judge"),
    ]
    assert len({call_seed(request) for request in [BASE, *others]}) == 5


def test_noise_does_not_depend_on_the_library_or_the_model() -> None:
    """The system message, where the library is, and earlier turns leave the seed alone; unset counts as 0."""
    library = {"role": "system", "content": "Lessons: a."}
    assert call_seed(replace(BASE, messages=(library, *BASE.messages))) == call_seed(BASE)
    assert call_seed(replace(BASE, model="openai/tiny")) == call_seed(BASE)
    assert call_seed(replace(BASE, sampling=Sampling())) == call_seed(BASE)


def test_attempts_count_up_from_a_common_base() -> None:
    """Attempt j has the seed of attempt 0 plus j, as the choices of one vLLM request do."""
    assert [call_seed(replace(BASE, attempt=j)) - call_seed(BASE) for j in range(5)] == [0, 1, 2, 3, 4]


def test_without_a_user_message_the_problem_is_empty() -> None:
    """A conversation without a user, or with an empty one, still has a seed."""
    assert last_user_text([]) == last_user_text([{"role": "user", "content": None}]) == ""


@given(st.none() | st.integers(), st.text(), st.integers(0, 2**20 - 1))
def test_seeds_fit_into_31_bits(seed: int | None, problem: str, attempt: int) -> None:
    """Any seed and any text, half a surrogate pair too, give a number that every server takes."""
    request = Request("r", "m", ({"role": "user", "content": problem},), Sampling(seed=seed), attempt=attempt)
    assert 0 <= call_seed(request) < 2**31
    assert 0 <= hash_words(problem) < 2**64
