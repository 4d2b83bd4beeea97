"""What passes the proxy as sessions: drawn at once, written by a thread of its own, so that no request waits for it.

A queue of limited size lies between: where the disk cannot follow, the newest records are left out and counted, never
the answers of the app.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any

from experience_db import InvalidEdit, SessionRecord, Store, UnknownSession
from experience_db.errors import StoreBusy, StoreError
from experience_db.live import hidden
from experience_db.masking import mask
from experience_db.session_records import Met, Offer, user_mark
from tfgrpo.proxy.recording import Answer

MOST_WAITING = 5_000
"""Records between the requests and the disk; beyond it new ones are left out."""
MOST_OPEN = 20_000
"""Sessions of several requests that are remembered, the newest ones: each keeps what it met first."""
BATCH = 200
"""Records of one transaction."""
TRIES = 5
_log = logging.getLogger("tfgrpo.proxy")

Job = Callable[[Store], None]


@dataclass(slots=True)
class Recorder:
    """Draws what a session meets, and keeps sessions, turns and reports."""

    db: Path
    secrets: Sequence[str] = ()
    """Keys of this environment, which nothing that is kept may hold."""
    tainted: bool = True
    draw: Callable[[], float] = SystemRandom().random
    lost: int = 0
    """Records that were left out."""
    _jobs: queue.Queue[Job | None] = field(default_factory=lambda: queue.Queue(MOST_WAITING))
    _met: OrderedDict[tuple[str, str], Met] = field(default_factory=OrderedDict)
    _thread: threading.Thread | None = None
    _reading: Store | None = None

    def open(self) -> None:
        """Open the database for writing and begin. Raises StoreError."""
        store = Store.open(self.db)
        self._reading = Store.open(self.db, readonly=True)
        self._thread = threading.Thread(target=self._write, args=(store,), name="tfgrpo-recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write what is left and end."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join(30.0)
            self._thread = None
        if self._reading is not None:
            self._reading.close()

    def begin(self, offer: Offer, session: str, task: str, user: str) -> tuple[str, Met]:
        """Return the id of a session and what it meets; a known id meets what it met before.

        Args:
            offer: what the library has for it.
            session: the id that the client gave, or ''.
            task: what it is about.
            user: whatever tells users apart, or ''.
        """
        known = self._met.get((offer.head.name, session)) if session else None
        if known is not None:
            self._met.move_to_end((offer.head.name, session))
            return session, known
        before = self._known(session[:200]) if session else None
        met = offer.again(before) if before is not None else offer.draw(self.draw)
        session = session[:200]
        name = session or uuid.uuid4().hex
        self._met[offer.head.name, name] = met
        while len(self._met) > MOST_OPEN:
            self._met.popitem(last=False)
        serving = offer.serving.id if offer.serving else None
        record = SessionRecord(
            name, offer.head.name, offer.head.version, met.arm, met.share, mask(task[:2000], self.secrets),
            user_mark(user), "proxy", self.tainted, serving, met.edits,
        )  # fmt: skip
        self._put(lambda store: store.start_session(record))
        return name, met

    def turn(self, session: str, asked: Sequence[Mapping[str, Any]], answer: Answer) -> None:
        """Keep what was asked and answered, without keys, passwords and personal numbers."""

        def write(store: Store) -> None:
            answered, failure = answer.messages()
            store.add_turn(session, hidden([*asked, *answered], lambda text: mask(text, self.secrets)), failure)

        self._put(write)

    def report(self, session: str, said: Mapping[str, Any]) -> None:
        """Keep a report at once. Raises UnknownSession, InvalidEdit, StoreBusy or another StoreError."""
        with Store.open(self.db) as store:
            store.wait_for(5.0)
            # What began a moment ago may still wait to be written.
            for wait in (0.02, 0.1, 0.5, 0.0):
                try:
                    store.report_session(
                        session, outcome=said.get("outcome"), reward=said.get("reward"),
                        feedback=mask(str(said.get("feedback") or "")[:4000], self.secrets),
                    )  # fmt: skip
                except UnknownSession:
                    if not wait:
                        raise
                    time.sleep(wait)
                else:
                    return

    def _known(self, session: str) -> SessionRecord | None:
        """Look for a session of an earlier process."""
        assert self._reading is not None
        return self._reading.session(session)

    def _put(self, job: Job) -> None:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            self.lost += 1
            if self.lost == 1:
                _log.warning("records of sessions come faster than they can be written; some are left out")

    def _write(self, store: Store) -> None:
        with store:
            while True:
                jobs = [self._jobs.get()]
                with suppress(queue.Empty):
                    while len(jobs) < BATCH and jobs[-1] is not None:
                        jobs.append(self._jobs.get_nowait())
                self._write_all(store, [job for job in jobs if job is not None])
                if jobs[-1] is None:
                    return

    def _write_all(self, store: Store, jobs: Sequence[Job]) -> None:
        for attempt in range(TRIES):
            try:
                with store.atomic():
                    for job in jobs:
                        with suppress(UnknownSession, InvalidEdit):
                            job(store)
            except StoreBusy:
                if attempt + 1 < TRIES:
                    continue
                self._left_out(len(jobs), "another process holds the database")
            except StoreError as error:
                self._left_out(len(jobs), str(error))
            return

    def _left_out(self, count: int, why: str) -> None:
        self.lost += count
        _log.warning("%d records of sessions are lost: %s", count, why)
