"""Log-probabilities in the three shapes that clients know: chat, completions, and vLLM's table for prompts.

All are natural logs at temperature 1, before top-p, so those of a completion add up to what `Tiny.score` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfgrpo.backends.tiny.model import Completion, TinyLM
    from tfgrpo.serve.choices import Service


@dataclass(frozen=True, slots=True)
class Token:
    """One token with its log-probability and the likeliest ones in its place."""

    id: int
    logprob: float | None
    """None for the first token of a prompt, which nothing precedes."""
    top: tuple[tuple[int, float], ...] = ()
    rank: int | None = None
    """1 for the likeliest; known for prompts only."""


def tokens_of(completion: Completion) -> list[Token]:
    """The tokens of a completion, the end token included."""
    tops = completion.top or ((),) * len(completion.ids)
    return [Token(*row) for row in zip(completion.ids, completion.logprobs, tops, strict=True)]


async def prompt_tokens(service: Service, ids: Sequence[int], top: int) -> list[Token]:
    """The tokens of a prompt, teacher-forced, each with its rank and `top` alternatives."""
    return await service.batcher.run(_forced, service.model, ids, top)


def _forced(model: TinyLM, ids: Sequence[int], top: int) -> list[Token]:
    """`prompt_tokens`, in the worker thread."""
    from tfgrpo.backends.tiny.sampling import log_softmax  # noqa: PLC0415 - loads numpy

    rows = log_softmax(model.network.prefill(ids)[0])
    found = [Token(ids[0], None)]
    for token, row in zip(ids[1:], rows, strict=False):
        likeliest = (-row).argsort(kind="stable")[:top]
        alternatives = tuple((int(other), float(row[other])) for other in likeliest)
        found.append(Token(token, float(row[token]), alternatives, 1 + int((row > row[token]).sum())))
    return found


def chat_logprobs(model: TinyLM, completion: Completion) -> dict[str, Any]:
    """`choices[].logprobs` of a chat completion."""
    return {"content": [_chat_token(model, token) for token in tokens_of(completion)], "refusal": None}


def _chat_token(model: TinyLM, token: Token) -> dict[str, Any]:
    """One entry of `content`."""
    top = [_spelled(model, other, logprob) for other, logprob in token.top]
    return _spelled(model, token.id, token.logprob) | {"top_logprobs": top}


def _spelled(model: TinyLM, token: int, logprob: float | None) -> dict[str, Any]:
    """A token with its text and bytes."""
    text = model.decode([token])
    return {"token": text, "logprob": logprob, "bytes": list(text.encode())}


def completion_logprobs(model: TinyLM, tokens: Sequence[Token], top: int) -> dict[str, Any]:
    """`choices[].logprobs` of a text completion: parallel lists; offsets count characters of the token texts."""
    texts = [model.decode([token.id]) for token in tokens]
    offsets = [0]
    for text in texts[:-1]:
        offsets.append(offsets[-1] + len(text))
    return {
        "tokens": texts,
        "token_logprobs": [token.logprob for token in tokens],
        "top_logprobs": [_by_text(model, token, top) for token in tokens],
        "text_offset": offsets[: len(texts)],
    }


def _by_text(model: TinyLM, token: Token, top: int) -> dict[str, float] | None:
    """Alternatives by their text; the likelier of two tokens that read the same is kept."""
    if token.logprob is None:
        return None
    return {model.decode([other]): logprob for other, logprob in reversed(token.top[:top])}


def prompt_table(model: TinyLM, tokens: Sequence[Token], top: int) -> list[dict[str, Any] | None]:
    """`prompt_logprobs` as vLLM writes it: null, then for each token its own entry and `top` alternatives, by id."""
    return [None if token.logprob is None else _row(model, token, top) for token in tokens]


def _row(model: TinyLM, token: Token, top: int) -> dict[str, Any]:
    """The alternatives of one prompt token and the token itself, by id."""
    ranked = [(other, logprob, rank) for rank, (other, logprob) in enumerate(token.top[:top], 1)]
    ranked.append((token.id, token.logprob or 0.0, token.rank or 0))
    return {
        str(other): {"logprob": logprob, "rank": rank, "decoded_token": model.decode([other])}
        for other, logprob, rank in ranked
    }
