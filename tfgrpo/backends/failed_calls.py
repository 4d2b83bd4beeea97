"""The books of requests that brought no reply: they were sent, some were billed, and a restart must not forget them.

Each is a record of its own in the journal, under the role `failed:ROLE`, which nothing replays.
"""

from __future__ import annotations

import contextlib
import uuid
from dataclasses import dataclass, field

from experience_db import Call, Journal, StoreBusy, StoreError
from tfgrpo.backends.metered import Tally, count_failed
from tfgrpo.types import Request, Usage

FAILED = "failed:"
"""Before the role of such a record."""


@dataclass(slots=True)
class FailedCalls:
    """Those of a run that are to be written: at once, and while another process writes, with the next ones."""

    journal: Journal
    pending: list[Call] = field(default_factory=list)

    def record(self, run: str, request: Request, usage: Usage, calls: int, why: str) -> None:
        """Keep one: its role, what it used, how many calls it stood for, and why it brought nothing."""
        self.pending.append(_call(run, request, usage, calls, why))
        self.flush()

    def flush(self) -> None:
        """Write what is pending, if the file is free; while a command ends it may be closed already."""
        with contextlib.suppress(StoreBusy, StoreError), self.journal.hurried():
            self.journal.put_many(self.pending)
            self.pending.clear()


def _call(run: str, request: Request, usage: Usage, calls: int, why: str) -> Call:
    role = f"{FAILED}{request.role}"
    question = {"role": role, "model": request.model, "calls": calls, "once": uuid.uuid4().hex}
    reply = {"failure": why, "estimated_tokens": usage.estimated_tokens}
    tokens = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
    return Call(Journal.key(question), role, request.model, question, reply, *tokens, usage.usd, 0.0, run)


def add_earlier_failures(tally: dict[str, Tally], journal: Journal, run: str) -> None:
    """Put what earlier executions of a run lost into its bill."""
    for role, used in journal.usage(run).items():
        if role.startswith(FAILED):
            usage = Usage(used.prompt_tokens, used.completion_tokens, used.cached_tokens, used.usd)
            count_failed(tally, role.removeprefix(FAILED), usage, used.calls)
