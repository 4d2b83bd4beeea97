"""`/v1/completions`: one prompt or several, as text or token ids, without the chat template.

`max_tokens: 0` with `echo` or `prompt_logprobs` generates nothing and scores the prompt, which is teacher forcing over
HTTP. The noise of a prompt depends on its own text, since there is no user message to take out of it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from tfgrpo.serve.choices import (
    MODEL_NAME,
    Choice,
    Prompt,
    Service,
    Stream,
    check_model,
    choices_of,
    token_pieces,
    usage_of,
)
from tfgrpo.serve.fields import ApiError, CompletionBody, parse_body
from tfgrpo.serve.logprobs import Token, completion_logprobs, prompt_table, prompt_tokens, tokens_of

if TYPE_CHECKING:
    from tfgrpo.backends.tiny.model import TinyLM

MAX_PROMPTS = 128


async def completions(service: Service, raw: object) -> dict[str, Any] | Stream:
    """Answer a completion request; choice `i` belongs to prompt `i // n`.

    Raises:
        ApiError: the body is wrong, the model unknown, or a prompt too long.
    """
    body = parse_body(CompletionBody, raw)
    check_model(body.model)
    prompts = [Prompt(ids, service.model.decode(ids)) for ids in _prompt_ids(service.model, body.prompt)]
    choices = await choices_of(service, body, prompts, max_tokens=body.max_tokens, top=body.logprobs or 0)
    head = {"id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time())}
    head["model"] = MODEL_NAME
    scored = [await _scored(service, body, prompt) for prompt in prompts]
    shown = [_choice(service.model, body, choice, scored[choice.index // body.n]) for choice in choices]
    if body.stream:
        return Stream([head | tail for tail in _chunks(service, body, choices, shown)])
    return head | {"choices": shown, "usage": usage_of(choices, body.n)}


def _prompt_ids(model: TinyLM, prompt: str | list[int] | list[str] | list[list[int]]) -> list[tuple[int, ...]]:
    """The prompts as token ids.

    Raises:
        ApiError: 400 if there is none, one is empty, there are too many, or an id is not in the vocabulary.
    """
    single = isinstance(prompt, str) or all(isinstance(item, int) for item in prompt)
    prompts: Sequence[Any] = [prompt] if single else prompt
    if not 0 < len(prompts) <= MAX_PROMPTS:
        raise ApiError(400, f"prompt: give 1 to {MAX_PROMPTS} prompts, not {len(prompts)}.", param="prompt")
    found = [tuple(model.encode(item)) if isinstance(item, str) else tuple(item) for item in prompts]
    for ids in found:
        if not ids:
            raise ApiError(400, "prompt: is empty; the model needs at least one token.", param="prompt")
        check_ids(model, ids, "prompt")
    return found


def check_ids(model: TinyLM, ids: Sequence[int], param: str) -> None:
    """Refuse token ids that the model does not have.

    Raises:
        ApiError: 400 naming the first such id.
    """
    size = model.network.vocabulary
    wrong = next((token for token in ids if not 0 <= token < size), None)
    if wrong is not None:
        raise ApiError(400, f"{param}: token id {wrong} is not in the vocabulary of {size} tokens.", param=param)


async def _scored(service: Service, body: CompletionBody, prompt: Prompt) -> list[Token]:
    """The tokens of a prompt with log-probabilities, if anything asks for them."""
    wanted = [body.logprobs if body.echo else None, body.prompt_logprobs]
    tops = [top for top in wanted if top is not None]
    return await prompt_tokens(service, prompt.ids, max(tops)) if tops else []


def _choice(model: TinyLM, body: CompletionBody, choice: Choice, scored: list[Token]) -> dict[str, Any]:
    """One finished choice; `scored` are the tokens of its prompt."""
    found: dict[str, Any] = {
        "index": choice.index,
        "text": (model.decode(choice.prompt.ids) if body.echo else "") + choice.text,
        "logprobs": None,
        "finish_reason": choice.completion.finish_reason,
    }
    if body.logprobs is not None:
        tokens = [*(scored if body.echo else []), *tokens_of(choice.completion)]
        found["logprobs"] = completion_logprobs(model, tokens, body.logprobs)
    if body.prompt_logprobs is not None:
        found["prompt_logprobs"] = prompt_table(model, scored, body.prompt_logprobs)
    if body.return_token_ids:
        found |= {"prompt_token_ids": list(choice.prompt.ids), "token_ids": list(choice.completion.ids)}
    return found


def _chunks(
    service: Service, body: CompletionBody, choices: Sequence[Choice], shown: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The chunks of a stream: pieces of each choice, its end with everything else it carries, then perhaps usage."""
    usage: dict[str, Any] = {"usage": None} if body.stream_usage else {}
    for choice, whole in zip(choices, shown, strict=True):
        echoed = whole["text"].removesuffix(choice.text) if body.echo else ""
        for piece in filter(None, [echoed, *token_pieces(service.model, choice)]):
            part = {"index": choice.index, "text": piece, "logprobs": None, "finish_reason": None}
            yield {"choices": [part]} | usage
        yield {"choices": [whole | {"text": ""}]} | usage
    if body.stream_usage:
        yield {"choices": [], "usage": usage_of(choices, body.n)}
