"""What enters a library unseen, what waits for a person, and what is refused: decided before and after the gate.

Before the gate every proposed edit is scanned. A secret or hidden characters refuse it; any other finding makes it wait
without a trial, since a trial would put an order into the prompt of an agent that can act. After the gate an accepted
edit that rests on tool output waits where the run asks for review: its evidence is kept for whoever decides. Waiting
edits are `undecided` rows of the store with a reason that begins with WAITS.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from experience_db import Edit, Evidence, Lesson, Library, Op, Store, UnappliedEdit
from experience_db.masking import mask
from tfgrpo.errors import UsageError
from tfgrpo.lessons.edits import normalise
from tfgrpo.lessons.scanners import KINDS, Finding, Kind, described, scan, scan_beside, scan_together
from tfgrpo.types import Proposal, Verdict

WAITS = "waits for review"
"""How the reason of an edit begins that a person shall decide."""
REFUSED = "refused in review"
"""How the reason of an edit begins that a person decided against."""
NEVER = frozenset({Kind.SECRET, Kind.PERSONAL, Kind.INVISIBLE})
"""Findings that no review is asked about."""
OWN_TOOLS = frozenset({"python"})
"""Tools whose output is no stranger's text: they run what the model itself wrote."""

Question = tuple[str, tuple[int, ...], str]


@dataclass(frozen=True, slots=True)
class ReviewRules:
    """What a run lets through."""

    review: bool = False
    """Accepted edits that rest on tool output wait."""
    allow: tuple[Kind, ...] = ()
    """Findings that are no reason to stop an edit."""
    known: tuple[str, ...] = ()
    """Keys of this environment; no lesson may hold one."""


@dataclass(frozen=True, slots=True)
class Screened:
    """Proposals by what comes next."""

    clean: tuple[Proposal, ...]
    """Before the gate, and in if it accepts."""
    held: tuple[Proposal, ...]
    """Before the gate, and to a person if it accepts."""
    verdicts: tuple[Verdict, ...]
    """What goes before no gate, with the reason."""


def review_rules(review: bool | None, allow: str, tools: Sequence[str], known: Sequence[str] = ()) -> ReviewRules:
    """Return the rules of a run.

    Args:
        review: as configured; None asks for review exactly where a tool brings in text of strangers.
        allow: kinds of findings between commas.
        tools: names of the tools of its environment.
        known: keys of this environment.

    Raises:
        UsageError: a kind that does not exist.
    """
    wanted = any(tool not in OWN_TOOLS for tool in tools) if review is None else review
    return ReviewRules(wanted, parse_kinds(allow), tuple(known))


def parse_kinds(names: str) -> tuple[Kind, ...]:
    """Return the kinds named between commas; raises UsageError."""
    words = [word.strip() for word in names.split(",") if word.strip()]
    if unknown := [word for word in words if word not in KINDS]:
        raise UsageError(f"there is no finding {unknown[0]!r} to allow; there are: {', '.join(KINDS)}")
    return tuple(Kind(word) for word in words)


def screen(
    proposals: Sequence[Proposal],
    rules: ReviewRules,
    decided: Mapping[Question, str] | None = None,
    shown: Sequence[Lesson] = (),
) -> Screened:
    """Sort proposals into those that go before the gate and those that do not.

    Args:
        proposals: what consolidation left.
        rules: of the run.
        decided: why an edit needs no second decision, see `decided_before`.
        shown: lessons that the library holds; an edit may not be the other half of an order in one of them.
    """
    clean, held, verdicts = [], [], []
    before = ""
    for given in proposals:
        proposal = replace(given, edit=_with_clean_reason(given.edit, rules))
        others = tuple(lesson.text for lesson in shown if lesson.id not in given.edit.ids)
        verdict = _stopped(given.edit, rules, decided or {}, before, others)
        before = given.edit.text or ""
        if verdict is not None:
            verdicts.append(verdict)
        elif rules.review and proposal.edit.tainted:
            held.append(proposal)
        else:
            clean.append(proposal)
    return Screened(tuple(clean), tuple(held), tuple(verdicts))


def hold_for_review(verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
    """Turn acceptances into waiting; what the gate measured goes along, and speaks for no lesson yet."""
    return tuple(_held(verdict) if verdict.decision == "accepted" else verdict for verdict in verdicts)


def waits_for_review(verdict: Verdict) -> bool:
    """Whether a person shall decide."""
    return verdict.decision == "undecided" and verdict.reason.startswith(WAITS)


def edit_key(edit: Edit) -> Question:
    """Return what makes two edits the same question: operation, lessons and words."""
    return (edit.op.value, edit.ids, " ".join((edit.text or "").casefold().split()))


def decided_before(store: Store, library: str, run: str, index: int) -> dict[Question, str]:
    """Return the edits that wait, or that a person refused, as known before step `index` of `run`; with the reason.

    What came later is left out, so that a repeated run asks its gates the same questions.
    """
    started = store.run(run).started
    known = {}
    for item in store.unapplied(library):
        earlier = (item.step or 0) < index if item.run == run else item.created < started
        if earlier and item.reason.startswith(WAITS):
            known[edit_key(item.edit)] = f"it waits for review already, as edit {item.id}"
        elif item.reason.startswith(REFUSED) and item.created < started:
            known[edit_key(item.edit)] = item.reason
    return known


def accept_waiting(store: Store, name: str, ids: Sequence[int], note: str = "review") -> Library:
    """Apply waiting edits as one version and give their lessons the evidence that the gate left.

    Raises:
        UsageError: an edit that the library has moved away from.
        UnknownEdit, StoreBusy, and what `Store.commit` raises; nothing was stored.
    """
    with store.atomic():
        head = store.library(name)
        items = {item.id: item for item in store.pending(name)}
        chosen = [items[i] for i in ids if i in items]
        for item in chosen:
            _require_fit(item, head)
        made = store.accept(name, ids, parent=head.version, note=note)
        applied = [row for row in store.log(name) if row.version == made.version]
        measured = store.evidence(name)
        for item, row in zip(chosen, applied, strict=True):
            store.add_evidence(name, [_credited(e, item, row.lesson_id) for e in measured if measured_alone(e, item)])
        return made


def findings_about(item: UnappliedEdit, known: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Return what the scanners say about a waiting edit."""
    return scan(item.edit.text, known=known) if item.edit.text else ()


def notices(store: Store, library: str) -> list[str]:
    """Return a sentence on how many edits of a library wait and what to do; [] when none does."""
    count = sum(item.reason.startswith(WAITS) for item in store.pending(library))
    if not count:
        return []
    some = "1 edit waits" if count == 1 else f"{count} edits wait"
    return [f"{some} for review: `tfgrpo lessons review --library {library}` shows what and why"]


def _stopped(
    edit: Edit, rules: ReviewRules, decided: Mapping[Question, str], before: str, others: Sequence[str]
) -> Verdict | None:
    """Return the verdict on an edit that goes before no gate.

    `before` is the lesson proposed right before it, `others` are those that the library will show beside it.
    """
    if (why := decided.get(edit_key(edit))) is not None:
        return Verdict("rejected", (edit,), why)
    found = scan(edit.text, allow=rules.allow, known=rules.known) if edit.text else ()
    about = tuple(x for x in scan(edit.reason, known=rules.known) if x.kind in NEVER)
    if edit.text:
        how = {"allow": rules.allow, "known": rules.known}
        found += scan_together((edit.text, edit.reason), **how) or scan_together((before, edit.text), **how)
        found += () if found else scan_beside(edit.text, others, **how)
    if any(x.kind in NEVER for x in found) or about:
        return Verdict("rejected", (_masked(edit, rules.known),), described([*found, *about]))
    return Verdict("undecided", (edit,), f"{WAITS}: {described(found)}") if found else None


def _with_clean_reason(edit: Edit, rules: ReviewRules) -> Edit:
    """Return an edit whose reason holds nothing that a lesson may not hold: models and people read it, too."""
    found = tuple(x for x in scan(edit.reason, allow=rules.allow, known=rules.known) if x.kind not in NEVER)
    why = ", ".join(dict.fromkeys(x.reason.partition(": ")[0] for x in found))
    return replace(edit, reason=f"(left out: {why})") if found else edit


def _masked(edit: Edit, known: Collection[str]) -> Edit:
    """Return a refused edit for the record: without its secrets."""
    secrets = tuple(known)
    return replace(edit, text=edit.text and mask(edit.text, secrets), reason=mask(edit.reason, secrets))


def _held(verdict: Verdict) -> Verdict:
    kept = tuple(replace(e, verdict="undecided", detail={**e.detail, "waits": e.verdict}) for e in verdict.evidence)
    return Verdict("undecided", verdict.edits, f"{WAITS}: it rests on tool output; {verdict.reason}", kept)


def _require_fit(item: UnappliedEdit, head: Library) -> None:
    """Raise UsageError when a waiting edit says what a lesson says by now."""
    words = normalise(item.edit.text or "")
    twin = next((x for x in head if item.edit.op is not Op.DELETE and normalise(x.text) == words), None)
    if twin is not None:
        raise UsageError(f"edit {item.id} is no news: lesson {twin.id} says the same; reject it instead")


def measured_alone(found: Evidence, item: UnappliedEdit) -> bool:
    """Whether a gate measured this very edit."""
    edit = [item.edit.op.value, list(item.edit.ids), item.edit.text]
    return (
        found.run == item.run
        and found.step == item.step
        and "waits" in found.detail
        and found.detail.get("edit") == [edit]
    )


def _credited(found: Evidence, item: UnappliedEdit, lesson_id: int) -> Evidence:
    """Return what a gate measured as evidence for the lesson; of no run, since that run never saw the lesson."""
    detail = {**found.detail, "review": item.id, "run": item.run, "step": item.step}
    verdict = str(detail.pop("waits") or "accepted")
    return replace(found, lesson_ids=(lesson_id,), verdict=verdict, detail=detail, version=None, run="", step=None)
