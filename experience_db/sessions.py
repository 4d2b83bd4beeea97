"""Sessions of apps in the store: which arm each was drawn into, its turns, and the reports about it. Only added to."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from experience_db.codec import to_json
from experience_db.errors import InvalidEdit, UnknownSession
from experience_db.lessons import Lessons
from experience_db.records import OUTCOMES
from experience_db.session_records import DESIGNS, Offer, Serving, SessionRecord, Turn

_SESSIONS = (
    "SELECT s.*, r.outcome, r.reward, r.feedback, r.created AS reported FROM sessions AS s"
    " LEFT JOIN session_reports AS r ON r.id = (SELECT max(id) FROM session_reports WHERE session = s.id"
    " AND (?2 IS NULL OR created <= s.created + ?2)) WHERE s.library = ?1 AND s.created >= ?3"
    " ORDER BY s.created, s.rowid"
)
REWARDS: Mapping[str, float | None] = {"succeeded": 1.0, "failed": 0.0, "unclear": None}
"""What an outcome without a number counts as."""


class Sessions(Lessons):
    """The part of the store that keeps what happens in apps."""

    def serving(self, name: str) -> Serving | None:
        """Return which share of sessions meets what; None where nobody set it. Raises UnknownLibrary."""
        self._known_version(name)
        row = self._row("SELECT * FROM serving WHERE library = ? ORDER BY id DESC LIMIT 1", name)
        return None if row is None else _serving(row)

    def servings(self, name: str) -> tuple[Serving, ...]:
        """Return every setting of shares that a library had, oldest first; raises UnknownLibrary."""
        self._known_version(name)
        return tuple(map(_serving, self._rows("SELECT * FROM serving WHERE library = ? ORDER BY id", name)))

    def serve(self, given: Serving) -> Serving:
        """Set which share of sessions meets what from now on, and return it as it is kept.

        Raises:
            UnknownLibrary: or UnknownVersion.
            UnknownEdit: an edit of the shadow does not wait.
            InvalidEdit: shares that are none, or a design that does not exist.
        """
        shares = (given.control, given.canary)
        if not all(0 <= share < 1 for share in shares) or sum(shares) >= 1 or bool(given.edits) < bool(given.canary):
            raise InvalidEdit(
                "shares of sessions lie in [0, 1), and some are left for what is served; not control "
                f"{given.control:g}, canary {given.canary:g} with {len(given.edits)} edits"
            )
        if given.design not in DESIGNS:
            raise InvalidEdit(f"a trial is one of {', '.join(DESIGNS)}, not {given.design!r}")
        with self.atomic():
            self._known_version(given.library, given.base_version)
            self._waiting(given.library, given.edits)
            self._insert(
                "serving", library=given.library, base_version=given.base_version, control=given.control,
                canary=given.canary, edits=to_json(given.edits), design=given.design, reason=given.reason,
                created=self.clock(),
            )  # fmt: skip
            kept = self.serving(given.library)
        assert kept is not None
        return kept

    def offer(self, name: str) -> Offer:
        """Return what sessions of a library can meet now; raises UnknownLibrary."""
        head, serving = self.library(name), self.serving(name)
        if serving is None or not serving.canary:
            return Offer(head, serving)
        waiting = {item.id: item.edit for item in self.pending(name)}
        if serving.base_version != head.version or not set(serving.edits) <= set(waiting):
            return Offer(head, replace(serving, base_version=head.version, canary=0.0, edits=()))
        return Offer(head, serving, tuple((i, waiting[i]) for i in serving.edits))

    def stamp(self, name: str) -> tuple[int, int, int]:
        """Return numbers that change when what a library offers does: a cheap look before `offer`."""
        row = self._row(
            "SELECT (SELECT max(version) FROM versions WHERE library = ?1),"
            " (SELECT max(id) FROM serving WHERE library = ?1), (SELECT max(id) FROM edits)",
            name,
        )  # fmt: skip
        return (0, 0, 0) if row is None else (row[0] or 0, row[1] or 0, row[2] or 0)

    def session(self, session: str) -> SessionRecord | None:
        """Return how a session began; None where there is none of this id."""
        row = self._row(
            "SELECT *, '' AS outcome, NULL AS reward, '' AS feedback, NULL AS reported FROM sessions WHERE id = ?",
            session,
        )  # fmt: skip
        return None if row is None else _session(row)

    def start_session(self, session: SessionRecord) -> None:
        """Keep that a session began, and by which draw, before anything is known of how it ends; an id is kept once."""
        with self.atomic():
            if self.session(session.id) is not None:
                return
            self._insert(
                "sessions", id=session.id, library=session.library, version=session.version, serving=session.serving,
                arm=session.arm, share=session.share, edits=to_json(session.edits), task=session.task,
                user=session.user, source=session.source,
                tainted=int(session.tainted), created=self.clock(),
            )  # fmt: skip

    def add_turn(self, session: str, messages: Sequence[Mapping[str, Any]], failure: str = "") -> None:
        """Keep what was said in a session. Raises UnknownSession."""
        with self.atomic():
            self._known_session(session)
            self._insert(
                "session_turns", session=session, messages=to_json(list(messages)), failure=failure,
                created=self.clock(),
            )  # fmt: skip

    def report_session(
        self, session: str, *, outcome: str | None = None, reward: float | None = None, feedback: str = ""
    ) -> None:
        """Keep what came of a session; of several reports the last one counts.

        Without an outcome, a reward of at least .5 is `succeeded`, a smaller one `failed`, and none is `unclear`.

        Raises:
            UnknownSession: there is none of this id.
            InvalidEdit: an outcome that does not exist, or a reward outside of [0, 1].
        """
        if reward is not None and not 0 <= reward <= 1:
            raise InvalidEdit(f"a reported reward lies between 0 and 1, not at {reward!r}")
        if outcome is None:
            outcome = "unclear" if reward is None else "succeeded" if reward >= 0.5 else "failed"
        if outcome not in OUTCOMES:
            raise InvalidEdit(f"an outcome is one of {', '.join(OUTCOMES)}, not {outcome!r}")
        with self.atomic():
            self._known_session(session)
            self._insert(
                "session_reports", session=session, outcome=outcome,
                reward=REWARDS[outcome] if reward is None else float(reward), feedback=feedback, created=self.clock(),
            )  # fmt: skip

    def sessions(self, name: str, *, since: float = 0.0, patience: float | None = None) -> tuple[SessionRecord, ...]:
        """Return the sessions of a library in the order in which they began, each with what was last reported of it.

        Args:
            name: the library.
            since: leave out those that began earlier, in seconds since the epoch.
            patience: reports that came later than so many seconds after the beginning do not count; None takes all.
        """
        self._known_version(name)
        rows = self._rows(_SESSIONS, name, patience, since)
        return tuple(map(_session, rows))

    def turns(self, session: str) -> tuple[Turn, ...]:
        """Return what was said in a session, in order."""
        rows = self._rows("SELECT * FROM session_turns WHERE session = ? ORDER BY id", session)
        return tuple(Turn(tuple(json.loads(row["messages"])), row["failure"], row["created"]) for row in rows)

    def _known_session(self, session: str) -> None:
        if self._row("SELECT 1 FROM sessions WHERE id = ?", session) is None:
            raise UnknownSession(f"there is no session {session[:80]!r} in {self.path}")


def _serving(row: sqlite3.Row) -> Serving:
    return Serving(
        row["library"], row["base_version"], row["control"], row["canary"], tuple(json.loads(row["edits"])),
        row["design"], row["reason"], row["id"], row["created"],
    )  # fmt: skip


def _session(row: sqlite3.Row) -> SessionRecord:
    return SessionRecord(
        row["id"], row["library"], row["version"], row["arm"], row["share"], row["task"], row["user"], row["source"],
        bool(row["tainted"]), row["serving"], tuple(json.loads(row["edits"])), row["created"],
        row["outcome"] or "", row["reward"], row["feedback"] or "", row["reported"],
    )  # fmt: skip
