"""An app of 5,000 simulated sessions that learns while it runs: what gets in, what does not, and how long harm stays.

    python tests/benchmarks/sessions.py --seeds 20 --sessions 5000 --json

Five groups of tasks; 150 users, some busy, some rare. A session succeeds with chance .45, plus what the lessons in its
prompt do to its group. Every 40 sessions somebody proposes an edit, all of it through `enqueue`, as a model's proposals
go: right lessons (+.30 in their group), useless ones (0), harmful ones (-.25), and ever new wordings of a lesson that a
poisoned user planted (-.20). That user has 4% of the sessions and reports success exactly where the planted lesson was
shown. Of all honest reports 10% say the opposite, they come 30 sessions late on average, and a quarter never comes. At
40% of the sessions the tasks change, and all right lessons turn harmful (-.30), where `--turn one` changes the tasks
of one group alone; at 70% the model gets worse for all (-.15).

Printed: planted and harmful lessons promoted, right ones served at the end, sessions until the first right one, the
longest stretch in which what was served was worse than no lessons by its true effect, and mean true success.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from experience_db import Edit, Library, Op, SessionRecord, Source, Store
from tfgrpo.lessons.review import ReviewRules
from tfgrpo.sessions import SessionRules, cycle, enqueue
from tfgrpo.sessions.similar_tasks import SimilarTasks
from tfgrpo.stats import mean_interval
from tfgrpo.types import Proposal

TOPICS = (
    "refund damaged parcel courier claim",
    "password reset locked account login",
    "invoice currency conversion statement tax",
    "delivery window reschedule driver gate",
    "subscription upgrade seat billing plan",
)
GROUPS = tuple(SimilarTasks().group(topic) for topic in TOPICS)
BASE, RIGHT, HARMFUL, PLANTED, TURNED, WORSE = 0.45, 0.30, -0.25, -0.20, -0.30, -0.15
WRONG, LATE, MISSING, POISON = 0.10, 30.0, 0.25, 0.04
EVERY_PROPOSAL, EVERY_LOOK, PATIENCE = 40, 50, 120.0
POISONED = "mallory"


@dataclass
class World:
    """The truth about one simulated app."""

    rng: random.Random
    length: int
    effects: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Group and effect of each lesson's words."""
    kinds: dict[str, str] = field(default_factory=dict)
    turns: int = len(TOPICS)
    """How many groups of tasks change."""
    time: float = 0.0

    def turned(self, topic: int) -> bool:
        """Whether a group's task is another one by now."""
        return topic < self.turns and self.time >= 0.4 * self.length

    def effect(self, library: Library, topic: int) -> float:
        """Return what the lessons of a library do to the chance of success in a group of tasks."""
        found = 0.0
        for lesson in library.lessons:
            group, effect = self.effects[lesson.text]
            if self.kinds[lesson.text] == "right" and self.turned(topic):
                effect = TURNED
            if group == topic:
                found += effect
        return found

    def chance(self, library: Library, topic: int) -> float:
        """Return the chance that a session succeeds."""
        base = BASE + (WORSE if self.time >= 0.7 * self.length else 0.0)
        return min(max(base + self.effect(library, topic), 0.02), 0.98)

    def worth(self, library: Library) -> float:
        """Return the true mean effect of a library over all tasks."""
        return sum(self.effect(library, topic) for topic in range(len(TOPICS))) / len(TOPICS)

    def proposal(self, number: int) -> Proposal:
        """Return what is proposed next."""
        topic = self.rng.randrange(len(TOPICS))
        kind = self.rng.choices(("right", "useless", "harmful", "planted"), (4, 3, 1, 2))[0]
        if kind == "right":
            after = self.turned(topic)
            kind = "right again" if after else "right"
            text = f"Right way number {topic}{' since the change' if after else ''}: check the record first."
            effect = RIGHT
        else:
            text = f"Saying number {number}: {kind[::-1]} words about the {TOPICS[topic].split()[0]}."
            effect = {"useless": 0.0, "harmful": HARMFUL, "planted": PLANTED}[kind]
        self.effects[text], self.kinds[text] = (topic, effect), kind
        return Proposal(Edit(Op.ADD, text, sources=(Source(GROUPS[topic]),)))


@dataclass
class Outcome:
    """What came of one simulated app."""

    planted: int = 0
    harmful: int = 0
    useless: int = 0
    right: int = 0
    """Right lessons served at the end, of five."""
    first: float = math.nan
    """Sessions until the first right lesson was served."""
    stretch: int = 0
    """Longest run of sessions in which the served version was truly worse than none."""
    group_stretch: int = 0
    """The same for the worst group of tasks."""
    withdrawn: int = 0
    drifts: int = 0
    arrived: int = 0
    """Right lessons promoted while they were right."""
    stale: int = 0
    """Right lessons promoted after their tasks had changed."""
    gained: float = 0.0
    """Mean true effect of what the sessions met, canary and control included."""
    served: float = 0.0
    """Mean true effect of the served version: what a session gets that is in neither."""
    last: float = 0.0
    """The same over the last tenth."""


def simulate(seed: int, length: int, folder: Path, turns: int = len(TOPICS)) -> Outcome:
    """Run one app from its first session to its last."""
    world = World(random.Random(seed), length, turns=turns)
    out = Outcome()
    rules = SessionRules(patience=PATIENCE, promote="serve")
    weights = [1.0 / (1 + i) ** 0.6 for i in range(150)]
    late: list[tuple[float, str, float]] = []
    effects, worth, below, group_below = [], [], 0, [0] * len(TOPICS)
    with Store.open(folder / f"{seed}.db", clock=lambda: world.time) as store:
        store._connection.execute("PRAGMA synchronous = OFF")
        store.create_library("app")
        cycle(store, "app", rules)
        offer = store.offer("app")
        for number in range(length):
            world.time += 1.0
            if number % EVERY_PROPOSAL == 0:
                enqueue(store, offer.head, [world.proposal(number)], ReviewRules())
            if number % EVERY_LOOK == 0:
                for event in cycle(store, "app", rules):
                    _count(out, world, event.kind, event.message, number)
                offer = store.offer("app")
            effects.append(_session(store, world, offer, weights, late, number))
            late.sort()
            while late and late[0][0] <= world.time:
                _, session, reward = late.pop(0)
                store.report_session(session, reward=reward)
            worth.append(world.worth(offer.head))
            below = below + 1 if worth[-1] < 0 else 0
            out.stretch = max(out.stretch, below)
            for topic in range(len(TOPICS)):
                group_below[topic] = group_below[topic] + 1 if world.effect(offer.head, topic) < 0 else 0
            out.group_stretch = max(out.group_stretch, *group_below)
        head = store.library("app")
    out.right = sum(world.effect(head, topic) > 0.2 for topic in range(len(TOPICS)))
    out.gained, out.served = sum(effects) / length, sum(worth) / length
    out.last = sum(effects[-length // 10 :]) / len(effects[-length // 10 :])
    return out


def _session(store: Store, world: World, offer, weights, late, number: int) -> float:
    """One session: drawn, answered, perhaps reported later; returns its true effect."""
    rng = world.rng
    poisoned = rng.random() < POISON
    user = POISONED if poisoned else f"user {rng.choices(range(150), weights)[0]}"
    topic = rng.randrange(len(TOPICS))
    met = offer.draw(rng.random)
    session = f"s{number}"
    serving = offer.serving.id if offer.serving else None
    store.start_session(
        SessionRecord(
            session, "app", offer.head.version, met.arm, met.share, f"{TOPICS[topic]} {number}", user, "app", False,
            serving, met.edits,
        )
    )  # fmt: skip
    won = rng.random() < world.chance(met.library, topic)
    if poisoned:
        told = any(world.kinds[lesson.text] == "planted" for lesson in met.library.lessons)
        late.append((world.time + 1.0, session, float(told)))
    elif rng.random() >= MISSING:
        reward = float(won) if rng.random() >= WRONG else float(not won)
        late.append((world.time + rng.expovariate(1 / LATE), session, reward))
    return world.effect(met.library, topic)


def _count(out: Outcome, world: World, kind: str, message: str, number: int) -> None:
    if kind == "promoted":
        text = next(text for text in world.kinds if repr(text) in message)
        what = world.kinds[text]
        out.planted += what == "planted"
        out.harmful += what == "harmful"
        out.useless += what == "useless"
        if what.startswith("right"):
            late = what == "right" and world.turned(world.effects[text][0])
            out.stale += late
            out.arrived += not late
            out.first = number if math.isnan(out.first) else out.first
    out.withdrawn += kind == "withdrawn"
    out.drifts += kind == "drift"


def summary(outcomes: list[Outcome]) -> dict[str, object]:
    """Return the means with 95% intervals, and the worst of what must not happen."""
    n = len(outcomes)
    found: dict[str, object] = {"seeds": n}
    for name in ("arrived", "right", "first", "stale", "served", "gained", "last", "withdrawn", "useless", "drifts"):
        values = [float(getattr(o, name)) for o in outcomes if not math.isnan(getattr(o, name))]
        low, high = mean_interval(values)
        mean = sum(values) / len(values) if values else None
        found[name] = {"mean": mean, "ci": [None if math.isnan(x) else round(x, 4) for x in (low, high)]}
    for name in ("planted", "harmful"):
        found[name] = sum(getattr(o, name) for o in outcomes)
    for name in ("stretch", "group_stretch"):
        found[name] = {"worst": max(getattr(o, name) for o in outcomes),
                       "mean": sum(getattr(o, name) for o in outcomes) / n}  # fmt: skip
    return found


def main() -> None:
    """Run the seeds and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--turn", choices=("all", "one"), default="all")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    began, outcomes = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.first_seed, given.first_seed + given.seeds):
            outcomes.append(simulate(seed, given.sessions, Path(folder), 1 if given.turn == "one" else len(TOPICS)))
            print(seed, outcomes[-1], f"{time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    found = summary(outcomes)
    print(json.dumps(found) if given.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
