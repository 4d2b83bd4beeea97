"""From prompts and options to choices: what both kinds of completion have in common.

Noise: choice j of a request with `seed` s draws `hashed(s + j, problem)`, where the problem is the last user message
(of a plain prompt: all of it). `Tiny` hashes the seed of a request's sampling in the same way, and clients of ours send
just that; so a seeded request, choice j of one with a seed lower by j, and the embedded backend without HTTP all give
the same text. Counting the choices up from the seed is what vLLM does. Without a `seed` a request gets fresh entropy.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tfgrpo.backends.seeds import hash_words
from tfgrpo.backends.tiny.backend import DEFAULT_TEMPERATURE, Batcher, json_part, tokens_left
from tfgrpo.errors import ProviderError
from tfgrpo.serve.fields import ApiError, Sampled

if TYPE_CHECKING:
    from tfgrpo.backends.tiny.model import Completion, Job, TinyLM

MODEL_NAME = "tiny"


@dataclass(frozen=True, slots=True)
class Service:
    """What every endpoint needs: the model, and the batcher that all requests share."""

    model: TinyLM
    batcher: Batcher


@dataclass(frozen=True, slots=True)
class Stream:
    """An answer to be sent as server-sent events, one per chunk."""

    chunks: Sequence[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt and the text its noise depends on."""

    ids: tuple[int, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class Choice:
    """One completion of one prompt."""

    index: int
    prompt: Prompt
    completion: Completion
    text: str
    """The completion's text; with a JSON `response_format` only its JSON part."""


async def choices_of(
    service: Service, body: Sampled, prompts: Sequence[Prompt], *, max_tokens: int | None, top: int
) -> list[Choice]:
    """Decode `n` choices for each prompt, in order of prompts; `top` alternatives are kept for each token.

    Raises:
        ApiError: 400 if a prompt does not fit the model, 500 if the model failed.
    """
    from tfgrpo.backends.tiny.model import Completion, Job  # noqa: PLC0415 - loads numpy

    seed = secrets.randbits(63) if body.seed is None else body.seed
    limits = [completion_room(service.model, prompt.ids, max_tokens) for prompt in prompts]
    jobs = [
        Job(
            prompt_ids=prompt.ids,
            max_tokens=limit,
            temperature=DEFAULT_TEMPERATURE if body.temperature is None else body.temperature,
            top_p=1.0 if body.top_p is None else body.top_p,
            seed=hash_words(seed + attempt, prompt.problem),
            stop=body.stops,
            logprobs=top,
        )
        for prompt, limit in zip(prompts, limits, strict=True)
        for attempt in range(body.n)
    ]
    if max_tokens == 0:
        completions = tuple(Completion((), "", (), "length", len(job.prompt_ids)) for job in jobs)
    else:
        completions = await _generated(service, jobs)
    return [
        Choice(index, prompts[index // body.n], done, json_part(done.text) if body.wants_json else done.text)
        for index, done in enumerate(completions)
    ]


async def _generated(service: Service, jobs: Sequence[Job]) -> tuple[Completion, ...]:
    """Decode jobs; a failure of the model is the server's fault, not the client's."""
    try:
        return await service.batcher.generate(jobs)
    except ProviderError as error:
        raise ApiError(500, str(error), code="model_failed") from error


def completion_room(model: TinyLM, prompt_ids: Sequence[int], max_tokens: int | None) -> int:
    """How many tokens may be generated: as asked, or less where the context ends earlier.

    Raises:
        ApiError: 400 if the prompt alone fills the context.
    """
    try:
        return tokens_left(model, prompt_ids, max_tokens)
    except ProviderError as error:
        raise ApiError(400, str(error), param="messages", code="context_length_exceeded") from error


def usage_of(choices: Sequence[Choice], n: int) -> dict[str, Any]:
    """Usage in OpenAI's shape: each prompt counts once, and nothing is ever served from a cache."""
    prompt_tokens = sum(len(choice.prompt.ids) for choice in choices[::n])
    completion_tokens = sum(len(choice.completion.ids) for choice in choices)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def check_model(name: str | None) -> None:
    """Refuse any model but this one.

    Raises:
        ApiError: 404.
    """
    if name not in (None, MODEL_NAME):
        message = f"The model {name!r} does not exist here; this endpoint serves {MODEL_NAME!r}."
        raise ApiError(404, message, param="model", code="model_not_found")


def token_pieces(model: TinyLM, choice: Choice) -> Iterator[str]:
    """The text token by token: one piece per id, together the text. A split character waits until it is whole."""
    ids, text, sent = choice.completion.ids, choice.text, 0
    whole = choice.completion.text == text
    for count in range(1, len(ids) + 1):
        if count == len(ids):
            end = len(text)
        else:
            known = model.decode(ids[:count]) if whole else ""
            end = sent if known.endswith("\ufffd") else max(sent, min(len(known), len(text)))
        yield text[sent:end]
        sent = end
