"""How many tokens an endpoint has room for, prompt and reply together, as it says itself.

vLLM says it in its list of models, as do several vendors under names of their own; llama.cpp says it of each slot at
`/props`. What the weights were trained for is another number, and is not asked.
"""

from __future__ import annotations

import asyncio
from typing import Any

from tfgrpo.backends.http import Http, NotDelivered, TooLarge
from tfgrpo.backends.transports import addressed
from tfgrpo.system.untrusted_json import Unreadable, count_of, loads

NAMES = ("max_model_len", "context_length", "context_window", "max_context_length")
"""What the room is called in a list of models: vLLM and `tfgrpo models serve`, OpenRouter, Groq, Mistral."""
SECONDS = 10.0


async def context_window(base_url: str, api_key: str | None, model: str) -> int | None:
    """Return how many tokens of prompt and reply one call may have; None where the endpoint does not say."""
    url, headers = addressed(base_url, api_key)
    bare = url.partition("?")[0].rstrip("/")
    http = Http(SECONDS)
    try:
        listed = await _got(http, f"{bare}/models", headers)
        rows = listed.get("data") if isinstance(listed, dict) else listed
        mine = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        mine = [row for row in mine if row.get("id") == model] or mine[:1]
        for said in (row[name] for row in mine for name in NAMES if name in row):
            if found := count_of(said):
                return found
        props = await _got(http, f"{bare.removesuffix('/v1')}/props", headers)
        settings = props.get("default_generation_settings") if isinstance(props, dict) else None
        return (count_of(settings.get("n_ctx")) or None) if isinstance(settings, dict) else None
    finally:
        await http.aclose()


async def _got(http: Http, url: str, headers: dict[str, str]) -> Any:
    """Return what stands there; None where nothing can be read."""
    try:
        async with asyncio.timeout(SECONDS):
            answer = await http.send("GET", url, None, headers)
        return loads(answer.text, forgiving=True) if answer.status == 200 else None
    except (NotDelivered, TooLarge, TimeoutError, Unreadable):
        return None
