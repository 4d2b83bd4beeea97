"""`/tokenize` and `/detokenize`, in vLLM's shape."""

from __future__ import annotations

from typing import Any

from tfgrpo.serve.choices import Service, check_model
from tfgrpo.serve.completions import check_ids
from tfgrpo.serve.fields import ApiError, DetokenizeBody, TokenizeBody, parse_body


async def tokenize(service: Service, raw: object) -> dict[str, Any]:
    """Token ids of a text as it is, or of messages with the chat template around them.

    Raises:
        ApiError: the body is wrong or the model unknown.
    """
    body = parse_body(TokenizeBody, raw)
    check_model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "body: give either prompt or messages.", param="body")
    if body.messages is not None:
        tokens = list(service.model.chat_ids([message.plain() for message in body.messages]))
    else:
        tokens = list(service.model.encode(body.prompt or ""))
    return {"tokens": tokens, "count": len(tokens), "max_model_len": service.model.max_length, "token_strs": None}


async def detokenize(service: Service, raw: object) -> dict[str, Any]:
    """The text of token ids; special tokens have none.

    Raises:
        ApiError: the body is wrong, the model unknown, or an id not in the vocabulary.
    """
    body = parse_body(DetokenizeBody, raw)
    check_model(body.model)
    check_ids(service.model, body.tokens, "tokens")
    return {"prompt": service.model.decode(body.tokens)}
