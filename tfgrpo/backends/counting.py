"""What a call consumed, and where the endpoint's own count cannot be had or believed, our count, marked as such.

An estimate is by bytes: a token is about four of them in most texts and scripts. It stands in `Usage.estimated_tokens`
too, so that a bill can say how much of it was counted here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace

from tfgrpo.backends.pricing import Price
from tfgrpo.system.untrusted_json import UsageIn, count_of
from tfgrpo.types import Reply, Request, Usage

BYTES_PER_TOKEN = 4
PLAUSIBLE = 7.0
"""Bytes a token has at most, on the average of a reply, where the endpoint's count is believed."""
IMPOSSIBLE = 12.0
"""Bytes that no tokenizer reaches on the average of a reply; between the two a tokenizer has to say."""
_IN_TEXT = {
    name: re.compile(rf'"{name}" ?: ?(\d{{1,12}})') for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
}


def tokens_of(text: str) -> int:
    """Return about how many tokens a text is; 0 for none."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def prompt_tokens(request: Request) -> int:
    """Return about how many tokens a prompt is."""
    return tokens_of(json.dumps([request.messages, request.tools] if request.tools else request.messages))


def length_of(reply: Reply) -> int:
    """Return the bytes of all that the model wrote."""
    calls = "".join(str(call) for call in reply.tool_calls)
    return sum(len(text.encode()) for text in (reply.text, reply.reasoning or "", calls))


def usage_of(found: UsageIn | None, price: Price | None, request: Request, replies: Sequence[Reply]) -> Usage:
    """Return the Usage of one answer; money comes from `price`, else from the endpoint, else it is unknown.

    Args:
        found: what the endpoint counted; what is missing in it is estimated.
        price: of the model.
        request: what was asked.
        replies: the choices that can be used.
    """
    found = found or UsageIn()
    prompt, completion = found.prompt_tokens, found.completion_tokens
    written = sum(map(length_of, replies))
    estimated = 0
    if not prompt and replies:
        prompt = prompt_tokens(request)
        estimated += prompt
    if not completion and written:
        completion = -(-written // BYTES_PER_TOKEN)
        estimated += completion
    return with_price(Usage(prompt or 0, completion or 0, found.cached, found.cost, estimated), price)


def with_price(usage: Usage, price: Price | None) -> Usage:
    """Return `usage` with what it costs, where there is a price."""
    return replace(usage, usd=price.usd(usage)) if price else usage


def of_broken(text: str, request: Request, price: Price | None) -> Usage:
    """Return the usage of an answer that broke off: what it says of it as far as it came, the rest estimated.

    Whatever does not begin as a JSON object is no answer of a model and is charged nothing.
    """
    if text.lstrip()[:1] != "{" or '"choices"' not in text:
        return Usage(usd=None)
    told = {name: count_of(found[1]) if (found := words.search(text)) else None for name, words in _IN_TEXT.items()}
    prompt, completion = told["prompt_tokens"], told["completion_tokens"]
    guessed = (prompt_tokens(request) if prompt is None else 0) + (tokens_of(text) if completion is None else 0)
    usage = Usage(
        prompt_tokens(request) if prompt is None else prompt,
        tokens_of(text) if completion is None else completion,
        min(told["cached_tokens"] or 0, prompt or 0),
        None,
        guessed,
    )
    return with_price(usage, price)


def first_only(reported: int, sizes: Sequence[int], counted: int | None = None, most: float = PLAUSIBLE) -> bool:
    """Whether a count of completion tokens must be that of the first of several choices alone.

    Args:
        reported: tokens, as the endpoint counted them.
        sizes: bytes of each choice.
        counted: tokens of all choices, where a tokenizer counted them.
        most: bytes a token that are believed without one.
    """
    if len(sizes) < 2 or not reported or not sizes[0]:
        return False
    if counted is not None:
        return 2 * reported < counted * (1 + sizes[0] / sum(sizes))
    return sum(sizes) / reported > most and sizes[0] / reported <= PLAUSIBLE


def scaled_to_choices(usage: Usage, sizes: Sequence[int], price: Price | None, counted: int | None = None) -> Usage:
    """Return `usage` with the completion of all choices where that of the first was counted.

    Args:
        usage: as reported.
        sizes: bytes of each choice.
        price: of the model.
        counted: completion tokens of all, where a tokenizer counted them; else they are in proportion to the bytes.
    """
    whole = counted if counted is not None else round(usage.completion_tokens * sum(sizes) / max(1, sizes[0]))
    more = max(0, whole - usage.completion_tokens)
    grown = replace(
        usage, completion_tokens=usage.completion_tokens + more, estimated_tokens=usage.estimated_tokens + more
    )
    return with_price(grown, price)
