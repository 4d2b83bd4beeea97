"""A session of an app: it meets a version by a logged draw, and what came of it is kept with that version.

```
library = open_library("support", db="experience.db")
with library.session(task=question, user=user_id) as s:          # or `async with`
    answer = ask(s.inject(messages))
    s.add({"role": "assistant", "content": answer})
    s.report(outcome="succeeded", feedback="solved at once")      # or reward=0.7; later: library.report(s.id, ...)
```

A database that cannot be written never stops the app: the session then goes on with the lessons it was opened with, and
`fault` says what was not kept.
"""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from experience_db.errors import InvalidEdit, StoreError
from experience_db.masking import mask
from experience_db.records import OUTCOMES
from experience_db.session_records import SERVED, Offer, SessionRecord, user_mark

if TYPE_CHECKING:
    from experience_db.library import Library

LONGEST_TEXT = 200_000
"""Characters of one message that are kept."""
WRITE_SECONDS = 5.0
"""How long a session waits for another process that writes."""
_log = logging.getLogger("experience_db")
_RANDOM = random.SystemRandom()


@dataclass(slots=True)
class Session:
    """One task of an app. Use it as a context manager, sync or async; made by `Library.session`."""

    library: Library
    """What the app's task meets; inside the block the drawn one."""
    task: str
    user: str = ""
    """A hash; see `user_mark`."""
    tainted: bool = True
    draw: Callable[[], float] = _RANDOM.random
    hide: Callable[[str], str] = mask
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    arm: str = SERVED
    share: float = 1.0
    fault: str = ""
    """What was not kept, and why; empty where all was."""
    _said: list[dict[str, Any]] = field(default_factory=list)
    _reports: list[dict[str, Any]] = field(default_factory=list)
    _kept: bool = False

    def inject(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Return new messages with the lessons that the task meets; the given ones are kept as its beginning."""
        self._said = [dict(message) for message in messages]
        return self.library.inject(messages, self.task)

    def add(self, *messages: Mapping[str, Any]) -> None:
        """Keep what was said since: answers of the model, calls of tools and their results."""
        self._said += [dict(message) for message in messages]

    def report(self, reward: float | None = None, *, outcome: str | None = None, feedback: str = "") -> None:
        """Say what came of it; of several reports the last one counts.

        Args:
            reward: in [0, 1].
            outcome: `succeeded`, `failed` or `unclear`, in place of a reward or beside it.
            feedback: in words.

        Raises:
            InvalidEdit: a reward or an outcome that there is not.
        """
        if reward is not None and not 0 <= reward <= 1:
            raise InvalidEdit(f"a reported reward lies between 0 and 1, not at {reward!r}")
        if outcome is not None and outcome not in OUTCOMES:
            raise InvalidEdit(f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}")
        self._reports.append({"reward": reward, "outcome": outcome, "feedback": self.hide(feedback)})

    def __enter__(self) -> Self:
        try:
            self._begin()
        except StoreError as error:
            self._lost(error)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end("" if kind is None else f"the app raised {kind.__name__}")
        except StoreError as fault:
            self._lost(fault)

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _begin(self) -> None:
        from experience_db.store import Store  # noqa: PLC0415 - the store makes libraries, which make sessions

        if self.library.db is None:
            raise StoreError("the library was not opened from a database, so its sessions are kept nowhere")
        with Store.open(self.library.db) as store:
            store.wait_for(WRITE_SECONDS)
            offer = Offer(self.library) if self.library.pinned else store.offer(self.library.name)
            met = offer.draw(self.draw)
            self.library, self.arm, self.share = self.library.like(met.library), met.arm, met.share
            serving = offer.serving.id if offer.serving else None
            store.start_session(
                SessionRecord(
                    self.id, met.library.name, offer.head.version, met.arm, met.share, self.hide(self.task), self.user,
                    "app", self.tainted, serving, met.edits,
                )
            )  # fmt: skip
        self._kept = True

    def _end(self, failure: str) -> None:
        from experience_db.store import Store  # noqa: PLC0415

        if not self._kept or not (self._said or self._reports or failure):
            return
        with Store.open(str(self.library.db)) as store, store.atomic():
            store.wait_for(WRITE_SECONDS)
            if self._said or failure:
                store.add_turn(self.id, [hidden(message, self.hide) for message in self._said], failure)
            for report in self._reports:
                store.report_session(self.id, **report)
        self._said, self._reports = [], []

    def _lost(self, error: StoreError) -> None:
        self.fault = str(error)
        _log.warning("session %s is not kept: %s", self.id, error)


def hidden(value: Any, hide: Callable[[str], str]) -> Any:
    """Return plain data with every text in it put through `hide`, and long ones cut."""
    if isinstance(value, str):
        whole = hide(value)
        return whole if len(whole) <= LONGEST_TEXT else f"{whole[:LONGEST_TEXT]} [{len(whole) - LONGEST_TEXT} more]"
    if isinstance(value, Mapping):
        return {str(key): hidden(item, hide) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hidden(item, hide) for item in value]
    return value if value is None or isinstance(value, bool | int | float) else hidden(str(value), hide)


def session_of(
    library: Library, task: str, user: object, *, tainted: bool, draw: Callable[[], float] | None,
    hide: Callable[[str], str] | None,
) -> Session:  # fmt: skip
    """Return a session that has not begun."""
    return Session(library, task, user_mark(user), tainted, draw or _RANDOM.random, hide or mask)


def report_later(library: Library, session: str, reward: float | None, outcome: str | None, feedback: str) -> None:
    """Keep what came of a session that has ended."""
    from experience_db.store import Store  # noqa: PLC0415

    if library.db is None:
        raise StoreError("the library was not opened from a database, so its sessions are kept nowhere")
    with Store.open(library.db) as store:
        store.wait_for(WRITE_SECONDS)
        store.report_session(session, reward=reward, outcome=outcome, feedback=mask(feedback))
