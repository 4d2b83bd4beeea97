"""One look at an app: withdraw what harms, decide the trial, begin the next one, and say what was done.

Nothing else moves a library by its sessions: an edit enters only after a trial that accepted it, and what is served
leaves by itself when it does harm. Every decision is kept as evidence with its estimate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Evidence, Library, Op, Serving, SessionRecord, Store, UnappliedEdit, UnknownEdit
from experience_db.session_records import CONTROL
from tfgrpo.lessons.review import WAITS as FOR_REVIEW
from tfgrpo.lessons.review import ReviewRules, edit_key, hold_for_review, screen
from tfgrpo.sessions.arms import by_control, by_edit
from tfgrpo.sessions.rules import SessionRules
from tfgrpo.sessions.similar_tasks import SimilarTasks
from tfgrpo.sessions.trial import Judged, evidence, in_words, judge
from tfgrpo.sessions.watch import Harm, drift, harms
from tfgrpo.types import Proposal, Verdict

WAITS = "waits for sessions"
"""How the reason of an edit begins that shall be tried on a share of the sessions."""
USUAL = SessionRules()
TAKEN_BACK = "withdrawn"
"""How the reason of the evidence begins for which something left by itself."""
REPEATS = 0.8
"""Share of sessions whose task was asked before, word for word, from which on trials are paired by task."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a look led to."""

    kind: str
    """`trial`, `promoted`, `rejected`, `withdrawn`, `drift`, `waiting` or `open`."""
    message: str
    version: int
    """The newest version afterwards."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look sees of an app."""

    library: Library
    serving: Serving | None
    sessions: tuple[SessionRecord, ...]
    """Old enough to have been reported about."""
    told: tuple[SessionRecord, ...]
    """The same, and younger ones that something has been told about already: enough to speak of harm."""
    servings: Mapping[int, Serving]
    """Every setting of shares by its number."""
    tasks: SimilarTasks


def cycle(store: Store, name: str, rules: SessionRules = USUAL, *, first: Sequence[int] = ()) -> tuple[Event, ...]:
    """Look at the sessions of a library once and act on them; the clock is the store's.

    Args:
        store: open for writing.
        name: the library.
        rules: what must be shown.
        first: numbers of waiting edits that a person wants tried before all others.

    Raises:
        UnknownLibrary, UnknownEdit, StoreBusy, and what `Store.commit` raises; nothing of that step was kept.
    """
    seen = look(store, name, rules)
    events = _drifted(store, seen, rules)
    if withdrawn := _withdrawn(store, seen, rules):
        events += withdrawn
        seen = look(store, name, rules)
    decided = _decided(store, seen, rules)
    events += decided
    if any(event.kind != "open" for event in decided):
        seen = look(store, name, rules)
    events += _begun(store, seen, rules, first)
    return tuple(events)


def look(store: Store, name: str, rules: SessionRules) -> Seen:
    """Read what a look needs; sessions younger than the rules' patience are left for the next one."""
    ripe = store.clock() - rules.patience
    told = tuple(
        s
        for s in store.sessions(name, patience=rules.patience)
        if s.serving and (s.created <= ripe or s.reward is not None)
    )
    sessions = tuple(s for s in told if s.created <= ripe)
    tasks = SimilarTasks()
    for session in told:
        tasks.group(session.task)
    servings = {serving.id: serving for serving in store.servings(name)}
    offer = store.offer(name)
    return Seen(offer.head, offer.serving, sessions, told, servings, tasks)


def enqueue(store: Store, library: Library, proposals: Sequence[Proposal], rules: ReviewRules) -> tuple[Verdict, ...]:
    """Keep proposed edits: clean ones to be tried on sessions, others for a person, and none twice.

    Words that were refused or withdrawn before are not taken again; a person may name them to `cycle`.

    Returns:
        A verdict for each, as it was kept.
    """
    known = {
        edit_key(item.edit): f"it is known as edit {item.id}: {item.reason}" for item in store.unapplied(library.name)
    }
    known |= {
        (Op.ADD.value, (), " ".join((row.edit.text or "").casefold().split())): "it was served before"
        for row in store.log(library.name)
    }
    screened = screen(proposals, rules, known, library.lessons)
    clean = [Verdict("undecided", (p.edit,), f"{WAITS}, asked for by {p.support}") for p in screened.clean]
    held = hold_for_review([Verdict("accepted", (p.edit,), "not tried yet") for p in screened.held])
    verdicts = (*clean, *held, *screened.verdicts)
    for verdict in verdicts:
        if verdict.reason not in known.values():
            store.set_aside(
                library.name, verdict.edits, status=verdict.decision, reason=verdict.reason, version=library.version
            )
    return verdicts


def _drifted(store: Store, seen: Seen, rules: SessionRules) -> list[Event]:
    """Say once that the app or its model changed: sessions without lessons do otherwise than before."""
    control = [s for s in seen.sessions if s.arm == CONTROL]
    told = [s for s in control if s.reward is not None]
    changed = drift(by_control(control, seen.servings, {}, seen.tasks), rules)
    if changed is None:
        return []
    since = told[-rules.recent].created
    if any(e.kind == "drift" and e.created >= since for e in store.evidence(seen.library.name)):
        return []
    said = (
        f"the app or its model has changed: {changed.n} sessions without lessons got {changed.now:.2f}, those before "
        f"{changed.before:.2f}; lessons are judged against these sessions, so this alone withdraws none"
    )
    found = Evidence("drift", changed.now - changed.before, n=changed.n, reason=said)
    store.add_evidence(seen.library.name, [found], version=seen.library.version)
    return [Event("drift", said, seen.library.version)]


def _withdrawn(store: Store, seen: Seen, rules: SessionRules) -> list[Event]:
    """Take back what harms: lessons by their groups of tasks, else the whole version."""
    library = seen.library
    if not library.lessons:
        return []
    by_version: dict[int, list[SessionRecord]] = {}
    for session in seen.told:
        by_version.setdefault(session.version, []).append(session)
    about = {i: {s.problem_id for s in edit.sources} for i, edit in store.proposed(library.name).items()}
    sessions = {v: by_control(many, seen.servings, about, seen.tasks) for v, many in sorted(by_version.items())}
    taken = [e.version or 0 for e in store.evidence(library.name) if e.reason.startswith(TAKEN_BACK)]
    since = max(max(taken, default=-1) + 1, min(lesson.changed for lesson in library.lessons))
    found = harms(sessions, library, since, rules)
    if not found:
        return []
    ids = sorted({i for harm in found for i in harm.lessons})
    words = [_why(harm) for harm in found]
    with store.atomic():
        kept = [
            replace(evidence(h.finding, "rejected", f"{TAKEN_BACK}: {w}", {"group": h.group}), lesson_ids=h.lessons)
            for h, w in zip(found, words, strict=True)
        ]
        store.add_evidence(library.name, kept, version=library.version)
        if ids:
            edits = [Edit(Op.DELETE, ids=(i,), reason=f"{TAKEN_BACK}: {words[0]}") for i in ids]
            after = store.commit(library.name, edits, parent=library.version, note="withdrawn by sessions")
        else:
            after = store.rollback(library.name, _good(store, library), note="rolled back by sessions")
    what = f"lessons {', '.join(map(str, ids))}" if ids else f"version {library.version}"
    said = f"{what} of {library.name} withdrawn, version {after.version} is served now: {'; '.join(words)}"
    return [Event("withdrawn", said, after.version)]


def _why(harm: Harm) -> str:
    return f"against sessions without lessons {in_words(harm.finding)}"


def _good(store: Store, library: Library) -> int:
    """Return the newest version that was not withdrawn and holds no lesson that was; version 0 holds nothing."""
    taken = [e for e in store.evidence(library.name) if e.reason.startswith(TAKEN_BACK)]
    bad = {e.version for e in taken if not e.lesson_ids}
    gone = {i for e in taken for i in e.lesson_ids}
    versions = store.versions(library.name)
    digests = {v.digest for v in versions if v.number in bad or v.number == library.version}
    for v in sorted(versions, key=lambda v: -v.number):
        if v.digest not in digests and gone.isdisjoint(x.id for x in store.library(library.name, v.number).lessons):
            return v.number
    return 0


def on_trial(store: Store, name: str) -> dict[int, UnappliedEdit]:
    """Return the edits that are on trial by their numbers: those of the last setting of shares that still wait."""
    serving = store.serving(name)
    chosen = serving.edits if serving else ()
    return {item.id: item for item in store.pending(name) if item.id in chosen}


def judge_edit(seen: Seen, item: UnappliedEdit, rules: SessionRules) -> Judged:
    """Return how the trial of an edit stands; all sessions for which it was drawn count, under whatever version."""
    mine = [serving for serving in seen.servings.values() if item.id in serving.edits]
    ids = {serving.id for serving in mine}
    about = {source.problem_id for source in item.edit.sources}
    sessions, told = (
        by_edit([s for s in many if s.serving in ids], item.id, seen.tasks) for many in (seen.sessions, seen.told)
    )
    return judge(sessions, told, about, rules, mine[0].design)


def _decided(store: Store, seen: Seen, rules: SessionRules) -> list[Event]:
    """Decide what is on trial, one edit after the other, or say how it stands."""
    events = []
    for item in on_trial(store, seen.library.name).values():
        found = judge_edit(seen, item, rules)
        text = item.edit.text or f"{item.edit.op.value} {', '.join(map(str, item.edit.ids))}"
        head = store.library(seen.library.name)
        version = head.version
        if found.decision == "rejected":
            with store.atomic():
                store.reject(head.name, [item.id], reason=f"refused by sessions: {found.reason}")
                store.add_evidence(head.name, [found.evidence], version=version)
        elif found.decision == "accepted" and rules.promote == "review":
            _held(store, head, item, found)
        elif found.decision == "accepted":
            version = _promoted(store, head, item, found)
        done = "waiting" if rules.promote == "review" else "promoted"
        kind = done if found.decision == "accepted" else found.decision
        events.append(Event(kind, f"{kind}: {text!r}, {found.reason}", version))
    return events


def _held(store: Store, head: Library, item: UnappliedEdit, found: Judged) -> None:
    """End a trial that was passed by leaving the edit to a person, under a number of its own."""
    with store.atomic():
        store.reject(head.name, [item.id], reason=f"passed on to review: {found.reason}")
        reason = f"{FOR_REVIEW}: sessions speak for it, {found.reason}"
        store.set_aside(head.name, [item.edit], status="undecided", reason=reason, version=head.version)
        store.add_evidence(head.name, [found.evidence], version=head.version)


def _promoted(store: Store, head: Library, item: UnappliedEdit, found: Judged) -> int:
    with store.atomic():
        after = store.accept(head.name, [item.id], parent=head.version, note="promoted by sessions")
        ids = tuple(row.lesson_id for row in store.log(head.name) if row.version == after.version)
        store.add_evidence(head.name, [replace(found.evidence, lesson_ids=ids)], version=after.version)
    return after.version


def _begun(store: Store, seen: Seen, rules: SessionRules, first: Sequence[int]) -> list[Event]:
    """Put edits on trial for which there is room; without any, only keep the share of the control."""
    library = store.library(seen.library.name)
    before = store.serving(library.name)
    going = on_trial(store, library.name)
    chosen = _fitting(library, [*going.values(), *_candidates(store, library, first)], rules)
    ids = tuple(item.id for item in chosen)
    repeated = bool(seen.sessions) and len({s.task for s in seen.sessions}) <= (1 - REPEATS) * len(seen.sessions)
    design = "paired" if repeated else "randomized"
    new = [item for item in chosen if item.id not in going]
    said = "; ".join(f"edit {item.id}: {item.edit.text or item.edit.op.value}" for item in new)
    # Where nothing is served there is little to watch, and sessions of the control are better spent on trials.
    control = rules.control if library.lessons else rules.control / 4
    canary = rules.canary + rules.control - control if ids else 0.0
    now = Serving(library.name, library.version, control, canary, ids, design, said)
    if before is None or _shares(before) != _shares(now):
        store.serve(now)
    return [
        Event("trial", f"{canary / 2:.0%} of the sessions meet, {design}, edit {item.id}: {item.edit.text!r}",
              library.version) for item in new
    ]  # fmt: skip


def _shares(serving: Serving) -> tuple[object, ...]:
    return (serving.base_version, serving.control, serving.canary, serving.edits)


def _fitting(library: Library, items: Sequence[UnappliedEdit], rules: SessionRules) -> list[UnappliedEdit]:
    """Return the first edits for which there is room, and that touch no lesson twice."""
    chosen: list[UnappliedEdit] = []
    groups: Counter[str] = Counter()
    there = {lesson.id for lesson in library.lessons}
    touched: set[int] = set()
    served = {source.problem_id for lesson in library.lessons for source in lesson.sources}
    for item in items:
        own = {source.problem_id for source in item.edit.sources} or {""}
        # Each edit on trial halves what watches the lessons served for its kind of task.
        room = len(chosen) < rules.together and all(
            groups[group] < (1 if group in served else rules.per_group) for group in own
        )
        if room and set(item.edit.ids) <= there and not touched & set(item.edit.ids) and item not in chosen:
            chosen.append(item)
            groups.update(own)
            touched |= set(item.edit.ids)
    return chosen


def _candidates(store: Store, library: Library, first: Sequence[int]) -> list[UnappliedEdit]:
    """Return the edits that may be tried, those that a person named first, then those that came last.

    They rest on the latest sessions: a queue of old ones must not keep an app from learning how its tasks have changed.
    """
    pending = {item.id: item for item in store.pending(library.name)}
    if unknown := [i for i in first if i not in pending]:
        raise UnknownEdit(f"no edit {unknown[0]} of library {library.name!r} is waiting; waiting: {sorted(pending)}")
    asked = [pending[i] for i in first]
    return asked + [item for item in reversed(pending.values()) if item.reason.startswith(WAITS) and item not in asked]
