"""`/v1/chat/completions`: messages in, choices out, whole or as a stream of pieces.

The model decodes in batches, so a stream starts when its choices are finished; it is a matter of shape, not of latency.
With a JSON `response_format` the content is the JSON object that the reply ends in. The model is not forced to write
one: a reply without valid JSON comes back as it is, for the client to find malformed. Log-probabilities and token ids
are always those of all generated tokens.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

from tfgrpo.backends.seeds import last_user_text
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
from tfgrpo.serve.fields import ApiError, ChatBody, parse_body
from tfgrpo.serve.logprobs import chat_logprobs, prompt_table, prompt_tokens


async def chat(service: Service, raw: object) -> dict[str, Any] | Stream:
    """Answer a chat completion request.

    Raises:
        ApiError: the body is wrong, the model unknown, or the prompt too long.
    """
    body = parse_body(ChatBody, raw)
    check_model(body.model)
    if body.top_logprobs is not None and not body.logprobs:
        raise ApiError(400, "top_logprobs: goes only with logprobs: true.", param="top_logprobs")
    messages = [message.plain() for message in body.messages]
    prompt = Prompt(tuple(service.model.chat_ids(messages)), last_user_text(messages))
    max_tokens = body.max_completion_tokens or body.max_tokens
    choices = await choices_of(service, body, [prompt], max_tokens=max_tokens, top=body.top_logprobs or 0)
    head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": MODEL_NAME}
    if body.stream:
        return Stream([head | {"object": "chat.completion.chunk"} | tail for tail in _chunks(service, body, choices)])
    answer = head | {
        "object": "chat.completion",
        "choices": [_choice(service, body, choice) for choice in choices],
        "usage": usage_of(choices, body.n),
    }
    if body.prompt_logprobs is not None:
        answer["prompt_logprobs"] = prompt_table(
            service.model, await prompt_tokens(service, prompt.ids, body.prompt_logprobs), body.prompt_logprobs
        )
    if body.return_token_ids:
        answer["prompt_token_ids"] = list(prompt.ids)
    return answer


def _choice(service: Service, body: ChatBody, choice: Choice) -> dict[str, Any]:
    """One finished choice."""
    found: dict[str, Any] = {
        "index": choice.index,
        "message": {"role": "assistant", "content": choice.text, "refusal": None},
        "logprobs": chat_logprobs(service.model, choice.completion) if body.logprobs else None,
        "finish_reason": choice.completion.finish_reason,
    }
    if body.return_token_ids:
        found["token_ids"] = list(choice.completion.ids)
    return found


def _chunks(service: Service, body: ChatBody, choices: Sequence[Choice]) -> Iterator[dict[str, Any]]:
    """The chunks of a stream, without their common head: role, pieces and end of each choice, then perhaps usage."""
    for choice in choices:
        yield from _choice_chunks(service, body, choice)
    if body.stream_usage:
        yield {"choices": [], "usage": usage_of(choices, body.n)}


def _choice_chunks(service: Service, body: ChatBody, choice: Choice) -> Iterator[dict[str, Any]]:
    """The chunks of one choice; log-probabilities and ids travel with the piece of their token."""
    logprobs = chat_logprobs(service.model, choice.completion)["content"]
    yield _chunk(body, choice, {"role": "assistant", "content": ""})
    for piece, token, one in zip(token_pieces(service.model, choice), choice.completion.ids, logprobs, strict=True):
        extra: dict[str, Any] = {"logprobs": {"content": [one], "refusal": None}} if body.logprobs else {}
        if body.return_token_ids:
            extra["token_ids"] = [token]
        if piece or extra:
            yield _chunk(body, choice, {"content": piece}, **extra)
    yield _chunk(body, choice, {}, finish_reason=choice.completion.finish_reason)


def _chunk(body: ChatBody, choice: Choice, delta: dict[str, Any], **extra: Any) -> dict[str, Any]:
    """One chunk of one choice; where usage is asked for, every chunk has the key."""
    found = {"index": choice.index, "delta": delta, "logprobs": None, "finish_reason": None} | extra
    return {"choices": [found]} | ({"usage": None} if body.stream_usage else {})
