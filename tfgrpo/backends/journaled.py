"""Nothing is paid twice: a call whose record is in the journal is answered from there.

The key is the whole request. The record is committed before the reply is used, so a run that was killed anywhere goes
on where it stood. Failures are not recorded: they are tried again next time. A record that cannot be read is said once,
and its call is made again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar, runtime_checkable

from experience_db import Call
from experience_db.journal import HIDDEN
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.group_commit import GroupCommit
from tfgrpo.system.untrusted_json import StoredReply, Unreadable, read_model
from tfgrpo.types import Reply, Request, Sampling, Usage

log = logging.getLogger(__name__)
T = TypeVar("T")


class Journal(Protocol):
    """The part of `experience_db.Journal` that this needs."""

    def key(self, request: dict[str, Any], /) -> str:
        """Return the content hash of a canonical request."""
        ...

    def get(self, key: str, /) -> dict[str, Any] | None:
        """Return the recorded reply, or None."""
        ...

    def put_many(self, calls: Sequence[Call], /) -> object:
        """Commit records: all of them, or none."""
        ...


@runtime_checkable
class Forgetting(Protocol):
    """A journal that can drop a record."""

    def forget(self, key: str, /) -> None:
        """Drop the record under `key`."""
        ...


def read_record(journal: Journal, key: str, read_as: Callable[[dict[str, Any]], T]) -> T | None:
    """Return what is recorded under `key`, read by `read_as`; None where nothing is.

    A record that cannot be read is dropped, which is said: the call is then made again.
    """
    try:
        record = journal.get(key)
        if isinstance(record, Mapping) and record.get(HIDDEN, False):
            raise Unreadable("a key was taken out of it when it was stored")
        return None if record is None else read_as(record)
    except (ValueError, RecursionError) as error:
        why = error if isinstance(error, Unreadable) else "it is no JSON"
        log.warning("the record %s of the journal cannot be read (%s); its call is made again", key[:12], why)
        if isinstance(journal, Forgetting):
            journal.forget(key)
        return None


class Journaled:
    """A backend that asks the backend below only what was never answered before."""

    def __init__(
        self,
        backend: Backend,
        journal: Journal,
        run: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        mark: str = "",
    ) -> None:
        """Remember the parts; `mark` tells who answers, where the model's name does not (`identity.py`)."""
        self.backend = backend
        self._journal = journal
        self._commits = GroupCommit(journal)
        self._run = run
        self._mark = mark
        self._clock = clock
        self._flights: dict[str, _Flight] = {}

    async def complete(self, request: Request) -> Reply:
        """Return the recorded reply (with `replayed` set and the usage of its time), else ask and record.

        Identical calls at the same time wait for one of them; should that one fail, the next one asks.
        """
        asked = canonical(request, self._mark)
        key = self._journal.key(asked)
        async with self._alone(key):
            known = read_record(self._journal, key, reply_from)
            if known is not None:
                return known
            started = self._clock()
            reply = await self.backend.complete(request)
            seconds = self._clock() - started
            await self._commits.put(self._record(key, asked, reply, seconds))
            return reply

    async def aclose(self) -> None:
        """Close the backend below; the journal belongs to who opened it."""
        await close(self.backend)

    def _record(self, key: str, asked: dict[str, Any], reply: Reply, seconds: float) -> Call:
        usage = reply.usage
        tokens = (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens)
        said = recordable(reply)
        return Call(key, asked["role"], asked["model"], asked, said, *tokens, usage.usd, seconds, self._run)

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        flight = self._flights.setdefault(key, _Flight())
        flight.aboard += 1
        try:
            async with flight.lock:
                yield
        finally:
            flight.aboard -= 1
            if not flight.aboard:
                del self._flights[key]


class _Flight:
    """One key that is being asked, and how many wait for it."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.aboard = 0


def canonical(request: Request, mark: str = "") -> dict[str, Any]:
    """Return `request` as the plain dict that the journal hashes; a `mark` of who answers is part of it."""
    forced = {} if request.forced_ids is None else {"forced_ids": list(request.forced_ids)}
    return {
        "role": request.role,
        "model": request.model,
        "messages": [dict(message) for message in request.messages],
        "sampling": {**shallow_fields(request.sampling), "stop": list(request.sampling.stop)},
        "tools": [dict(tool) for tool in request.tools],
        "response_schema": None if request.response_schema is None else dict(request.response_schema),
        "attempt": request.attempt,
        **forced,
        **({"endpoint": mark} if mark else {}),
    }


def recordable(reply: Reply) -> dict[str, Any]:
    """Return `reply` as plain JSON values."""
    left_out = {"replayed", *(name for name in ("logprobs", "token_texts") if getattr(reply, name) is None)}
    kept = {name: value for name, value in shallow_fields(reply).items() if name not in left_out}
    return {**kept, "usage": shallow_fields(reply.usage)}


def shallow_fields(value: Sampling | Usage | Reply) -> dict[str, Any]:
    """Return the fields of a value as they are; `asdict` would copy all the way down."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def reply_from(record: Mapping[str, Any]) -> Reply:
    """Return the reply in a record, marked as replayed.

    Raises:
        Unreadable: it is none.
    """
    kept = read_model(StoredReply, record)
    return Reply(
        text=kept.text,
        finish_reason=kept.finish_reason,
        usage=Usage(**kept.usage.model_dump()),
        reasoning=kept.reasoning,
        tool_calls=tuple(kept.tool_calls or ()),
        token_ids=kept.token_ids,
        logprobs=kept.logprobs,
        token_texts=kept.token_texts,
        replayed=True,
    )
