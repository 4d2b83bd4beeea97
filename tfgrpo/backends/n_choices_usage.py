"""Some engines count the completion of the first choice alone when several were asked for; then it is counted here.

The server's own tokenizer is asked where it offers one (`/tokenize`, as llama.cpp and vLLM do), else the count of the
first choice is taken in proportion to the bytes of all. Either way the difference is marked as estimated.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import fields, replace

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.counting import IMPOSSIBLE, first_only, length_of, scaled_to_choices
from tfgrpo.backends.http import Http, NotDelivered, TooLarge
from tfgrpo.backends.n_choices import ChoicesReply, join_choices
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.transports import addressed
from tfgrpo.system.untrusted_json import Unreadable, count_of, loads
from tfgrpo.types import Reply

SECONDS = 10.0
log = logging.getLogger(__name__)


class Tokenizer:
    """The tokenizer of the server behind a base URL, asked over HTTP; found out once whether there is one."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        """Remember where it would be."""
        bare, self._headers = addressed(base_url, api_key)
        root = bare.partition("?")[0].rstrip("/").removesuffix("/v1")
        self._url = f"{root}/tokenize"
        self._http: Http | None = None
        self._offered = True

    async def count(self, model: str, texts: Sequence[str]) -> int | None:
        """Return the tokens of all texts together; None where the server has no tokenizer."""
        if not self._offered:
            return None
        # llama.cpp reads `content`, vLLM `prompt` and `model`; each passes over the other's.
        whole = "\n".join(texts)
        body = {"content": whole, "prompt": whole, "model": model, "add_special_tokens": False}
        self._http = self._http or Http(SECONDS)
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._http.send("POST", self._url, json.dumps(body).encode(), self._headers)
            found = loads(answer.text, forgiving=True) if answer.status == 200 else None
        except (NotDelivered, TooLarge, TimeoutError, Unreadable):
            found = None
        tokens = found.get("tokens") if isinstance(found, dict) else None
        self._offered = isinstance(tokens, list)
        return count_of(len(tokens)) if isinstance(tokens, list) else None

    async def aclose(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()


async def recount_usage(reply: Reply, model: str, dialect: Dialect, tokenizer: Tokenizer, price: Price | None) -> Reply:
    """Return a reply whose usage counts all of its choices."""
    if not isinstance(reply, ChoicesReply):
        return reply
    replies = [one for one in reply.choices if isinstance(one, Reply)]
    sizes = [length_of(one) for one in replies]
    usage = reply.usage
    if not dialect.counts_first_only and not first_only(usage.completion_tokens, sizes):
        return reply
    counted = await tokenizer.count(model, [one.text + (one.reasoning or "") for one in replies])
    if not dialect.counts_first_only and not first_only(usage.completion_tokens, sizes, counted, IMPOSSIBLE):
        return reply
    if not dialect.counts_first_only:
        dialect.counts_first_only = True
        how = "its tokenizer" if counted is not None else "the length of the texts"
        log.warning(
            "%s counts the completion of the first of several choices alone; the others are counted by %s", model, how
        )
    whole = join_choices(reply.choices, scaled_to_choices(usage, sizes, price, counted))
    return replace(reply, **{f.name: getattr(whole, f.name) for f in fields(reply)})
