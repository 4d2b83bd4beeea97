"""The books of requests that brought no reply: they were sent, some were billed, and a restart must not forget them.

Each is a record of its own in the journal, under the role `failed:ROLE`, which nothing replays.
"""

from __future__ import annotations

import contextlib
import uuid

from experience_db import Journal, StoreError
from tfgrpo.backends.metered import Tally, lost
from tfgrpo.types import Request, Usage

FAILED = "failed:"
"""Before the role of such a record."""


def record_lost(journal: Journal, run: str, request: Request, usage: Usage, calls: int, why: str) -> None:
    """Keep one: its role, what it used, how many calls it stood for, and why it brought nothing."""
    role = f"{FAILED}{request.role}"
    question = {"role": role, "model": request.model, "calls": calls, "once": uuid.uuid4().hex}
    # While a command ends the store may be closed already; then there is nothing left to keep books for.
    with contextlib.suppress(StoreError):
        journal.put(
            Journal.key(question),
            role=role,
            model=request.model,
            request=question,
            reply={"failure": why, "estimated_tokens": usage.estimated_tokens},
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            usd=usage.usd,
            run=run,
        )


def earlier(tally: dict[str, Tally], journal: Journal, run: str) -> None:
    """Put what earlier executions of a run lost into its bill."""
    for role, used in journal.usage(run).items():
        if role.startswith(FAILED):
            usage = Usage(used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.usd)
            lost(tally, role.removeprefix(FAILED), usage, used.calls)
