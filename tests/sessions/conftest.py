"""A library in a store whose clock the test moves."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from experience_db import Edit, Op, SessionRecord, Source, Store
from tfgrpo.lessons.review import ReviewRules
from tfgrpo.sessions import SessionRules, cycle, enqueue
from tfgrpo.sessions.similar_tasks import SimilarTasks
from tfgrpo.types import Proposal

TASK = "refund damaged parcel courier"


@dataclass
class App:
    """An app whose sessions go exactly as the test says."""

    store: Store
    now: list[float]
    rules: SessionRules
    number: int = 0
    events: list = field(default_factory=list)

    def look(self, **more):
        """Look once; returns kinds and messages."""
        self.now[0] += self.rules.patience + 1
        self.events = cycle(self.store, "app", self.rules, **more)
        return [event.kind for event in self.events]

    def propose(self, text, task=TASK, *, tainted=False, review=False, op=Op.ADD, ids=()):
        """Propose an edit that comes from sessions of a task; returns the verdict."""
        edit = Edit(op, text, ids, sources=(Source(SimilarTasks().group(task)),), tainted=tainted)
        head = self.store.library("app")
        return enqueue(self.store, head, [Proposal(edit)], ReviewRules(review))[0]

    def session(self, draws, reward, *, user=None, task=TASK):
        """Let one session meet what `draws` say, and report its reward, a number or a function of what it met."""
        self.number += 1
        offer = self.store.offer("app")
        met = offer.draw(iter(draws).__next__)
        serving = offer.serving.id if offer.serving else None
        name = f"s{self.number}"
        who = f"u{self.number}" if user is None else user
        self.store.start_session(
            SessionRecord(
                name, "app", offer.head.version, met.arm, met.share, task, who, "app", False, serving, met.edits
            )
        )  # fmt: skip
        told = reward(met) if callable(reward) else reward
        if told is not None:
            self.store.report_session(name, reward=told)
        return met


@pytest.fixture
def app(tmp_path):
    """An app with an empty library and shares of 20% and 50%."""
    now = [1000.0]
    with Store.open(tmp_path / "app.db", clock=lambda: now[0]) as store:
        store.create_library("app")
        yield App(store, now, SessionRules(control=0.2, canary=0.5, patience=10.0, horizon=200, promote="serve"))
