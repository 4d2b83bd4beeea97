"""The numbers of a report as pure functions of what the store holds; nothing here reads a database."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Protocol

from experience_db import Evaluation, Evidence, RoleUsage, RunStep, effect_of, own_words
from tfgrpo import stats
from tfgrpo.report import formatting
from tfgrpo.report.data import Cost, Failed, Funnel, Headline, Measured, Point

STATUSES = ("kept", "flat", "failed", "filtered")
PARTS = {
    "rollout": "learning",
    "summarize": "learning",
    "contrast": "learning",
    "consolidate": "learning",
    "gate": "proving",
    "pilot": "proving",
    "evaluate": "proving",
    "audit": "proving",
    "score": "proving",
    "paraphrase": "proving",
    "tips": "proving",
    "operations": "learning",
    "reflect": "learning",
}
"""What a role's calls are for; a role that serves both sides, such as a judge, is `other`."""
ORDER = ("learning", "proving", "other")
NOISE = 0.05
"""A difference whose p is above this is inside its noise."""
WORTH = 0.05
"""An effect that is surely smaller than this is hardly one; the gate's own default for `not worth it`."""

Group = Mapping[str, Any]


def headline(heldout: Mapping[str, Any] | None, status: str, gate: str) -> Headline:
    """Return the headline of a run from `summary["heldout"]`.

    Args:
        heldout: what `learn --json` says under `heldout`; None when it was not measured on both sides.
        status: how the run ended.
        gate: kind of the gate; all but `open` choose edits on the held-out problems.
    """
    if not heldout or heldout.get("diff") is None:
        why = {"finished": "This run measured no held-out problems", "running": "This run has not ended"}
        told = why.get(status, "This run stopped early")
        return Headline(f"{told}, so there is no held-out reward before and after to compare.")
    low, high = heldout["ci"]
    before, after, diff, p, n = (heldout[key] for key in ("before", "after", "diff", "p", "n"))
    # Runs of before there was such a field measured on what their gates looked at.
    selected = bool(heldout.get("selected_on", gate != "open"))
    verdict = _verdict(diff, low, high, p, selected=selected)
    moved = f"from {before:.3f} to {after:.3f}" + (" on the problems that chose the lessons" if selected else "")
    claim = {
        "better": f"Held-out reward rose {moved}.",
        "worse": f"Held-out reward fell {moved}.",
        "noise": f"Held-out reward went {moved}, which is inside its noise: no effect is shown.",
    }[verdict]
    notes = [f"What could be seen: {stats.power_note(n)}."]
    if selected and verdict != "noise":
        notes.append(
            "The gate chose the edits on these same problems, so the value after learning is somewhat optimistic; "
            "tfgrpo eval on problems that no part of this run has seen confirms it, or not."
        )
    intervals = (pair(heldout.get(key)) for key in ("before_ci", "after_ci", "ci"))
    before_ci, after_ci, ci = intervals
    if heldout.get("selected_on") is False and gate != "open":
        notes.append("No verdict of this run ever looked at these problems.")
    if chosen := heldout.get("chosen_on"):
        moved = f"{formatting.number(chosen['before'])} to {formatting.number(chosen['after'])}"
        notes.append(f"On the {chosen['n']} problems that chose the lessons it went from {moved}.")
    apart = {name: (both["before"], both["after"]) for name, both in (heldout.get("objectives") or {}).items()}
    return Headline(claim, tuple(notes), before, before_ci, after, after_ci, diff, ci, n, p, verdict, apart)


def unlearned_headline(kind: str, summary: Mapping[str, Any]) -> Headline:
    """Return the headline of a run that did not learn."""
    if kind == "eval" and summary.get("mean") is not None:
        mean, (low, high) = summary["mean"], pair(summary.get("ci"))
        known = f" [{low:.3f}, {high:.3f}]" if low is not None and high is not None else ""
        return Headline(f"mean@{summary.get('k')} is {mean:.3f}{known} on {summary.get('problems')} problems.")
    if kind == "audit":
        return Headline("This run measured single lessons; their effects are below.")
    return Headline(f"This run is of kind {kind}; it has no held-out reward before and after.")


def confirmation(rows: Sequence[Measured], version: int | None, heldout: object) -> tuple[str, ...]:
    """Return what evaluations of the final version on other data than the gate's say; files are told apart by name."""
    if not isinstance(heldout, str) or version is None:
        return ()
    return tuple(
        f"On {formatting.file_name(m.dataset)}, which is not the gate's file: library minus empty library {m.diff:+.3f}"
        f" [{m.diff_low:+.3f}, {m.diff_high:+.3f}], n={m.problems}."
        for m in rows
        if m.control == "empty" and m.version == version and not m.seen_by_gate
        if m.diff is not None and m.diff_low is not None and m.diff_high is not None
    )


def _verdict(diff: float, low: float | None, high: float | None, p: float | None, *, selected: bool) -> str:
    unsure = p is None or p > NOISE
    if low is None or high is None or low <= 0 <= high or (unsure and not (selected and p is None)):
        return "noise"
    return "better" if diff > 0 else "worse"


def pair(values: Sequence[float | None] | None) -> tuple[float | None, float | None]:
    """Return both ends of an interval; (None, None) where there is none."""
    return (values[0], values[1]) if values else (None, None)


def point(step: RunStep, groups: Sequence[Group], seed: int) -> Point:
    """Return one step of the learning curve from its groups; unscored rollouts count for nothing, not for zero."""
    means_P = [fmean(scored) for group in groups if (scored := [r for r in group["rewards"] if r is not None])]
    low, high = stats.bootstrap_mean(means_P, seed)
    told = step.summary
    return Point(
        step.step,
        step.epoch,
        fmean(means_P) if means_P else None,
        none_for_nan(low),
        none_for_nan(high),
        len(means_P),
        step.version_before,
        step.version_after,
        tally(group["status"] for group in groups) or dict(told.get("groups", {})),
        dict(told.get("edits", {})),
        dict(told.get("failures", {})),
    )


def none_for_nan(value: float) -> float | None:
    """Return the value, or None for nan."""
    return None if math.isnan(value) else value


def tally(words: Iterable[str]) -> dict[str, int]:
    """Return how often each word occurs, in order of first appearance."""
    table: dict[str, int] = {}
    for word in words:
        table[word] = table.get(word, 0) + 1
    return table


def funnel(points: Sequence[Point]) -> Funnel:
    """Return what became of all groups, and of the edits they proposed."""
    groups = dict.fromkeys(STATUSES, 0)
    edits: dict[str, int] = {}
    for at in points:
        for table, counts in ((groups, at.groups), (edits, at.edits)):
            for name, count in counts.items():
                table[name] = table.get(name, 0) + count
    malformed = sum(at.failures.get("malformed", 0) for at in points)
    return Funnel(
        groups,
        edits.get("proposed", 0),
        edits.get("accepted", 0),
        edits.get("rejected", 0),
        edits.get("undecided", 0),
        malformed,
    )


def costs(usage: Mapping[str, RoleUsage], calls: Mapping[str, Mapping[str, int]]) -> tuple[Cost, ...]:
    """Return the bill: one row a role, learning first, then proving, then the rest.

    Args:
        usage: what the run's own calls consumed, by role.
        calls: `new` and `replayed` by role, from the run's summary.
    """
    rows = []
    for role in dict.fromkeys([*usage, *calls]):
        used = usage.get(role, RoleUsage(role, 0, 0, 0, 0, 0.0, 0.0))
        replayed = calls.get(role, {}).get("replayed", 0)
        part = PARTS.get(role, "other")
        rows.append(
            Cost(
                role, part, used.calls, replayed, used.prompt_tokens, used.cached_tokens, used.completion_tokens,
                used.usd, used.seconds,
            )
        )  # fmt: skip
    return tuple(sorted(rows, key=lambda row: (ORDER.index(row.part), row.role)))


def subtotal(rows: Sequence[Cost], part: str = "") -> Cost:
    """Return the sum of one part's rows, or of all; unknown money stays unknown."""
    those = [row for row in rows if not part or row.part == part]
    usd = [row.usd for row in those if row.usd is not None]
    return Cost(
        part or "all roles",
        part,
        sum(row.calls for row in those),
        sum(row.replayed for row in those),
        sum(row.prompt_tokens for row in those),
        sum(row.cached_tokens for row in those),
        sum(row.completion_tokens for row in those),
        sum(usd) if len(usd) == len(those) else None,
        sum(row.seconds for row in those),
    )


def failures(points: Sequence[Point], groups: Sequence[Group]) -> tuple[Failed, ...]:
    """Return the census: rollouts and grading from the groups, the rest of each step's count is writing lessons."""
    found: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for group in groups:
        for where, failure in _group_failures(group):
            found.setdefault((where, failure["kind"]), []).append((group["step"], failure["message"] or ""))
    seen = {(step, kind): 0 for (_, kind), those in found.items() for step, _ in those}
    for (_, kind), those in found.items():
        for step, _ in those:
            seen[step, kind] += 1
    for at in points:
        for kind, count in at.failures.items():
            rest = count - seen.get((at.step, kind), 0)
            if rest > 0:
                found.setdefault(("writing lessons", kind), []).extend([(at.step, "")] * rest)
    return tuple(
        Failed(where, kind, len(those), next((m for _, m in those if m), ""), tuple(sorted({s for s, _ in those})))
        for (where, kind), those in sorted(found.items())
    )


def _group_failures(group: Group) -> Iterable[tuple[str, Mapping[str, str]]]:
    for position, rollout in enumerate(group["rollouts"]):
        scores = group["scores"][position] if position < len(group["scores"]) else []
        if rollout["failure"]:
            yield "rollout", rollout["failure"]
        else:
            yield from (("grading", score["failure"]) for score in scores if score["failure"])


def measured(evaluations: Iterable[Evaluation], heldout: object) -> tuple[Measured, ...]:
    """Return evaluations with the controls that were measured beside them, in the order they were made.

    A control is told with the library it was measured beside; its own row is told where that one is missing.
    """
    found, rows = tuple(evaluations), []
    beside = {(e.run, name) for e in found if not e.control for name in e.summary.get("controls") or {}}
    for e in found:
        if e.control and (e.run, e.control) in beside:
            continue
        same = bool(e.dataset) and (e.dataset == heldout or bool((e.summary.get("seen") or {}).get("gated")))
        row = Measured(e.dataset, e.model, e.version, e.control, e.k, e.problems, e.mean, e.low, e.high)
        rows.append(_seen(row) if same else row)
        for name, c in (e.summary.get("controls") or {}).items():
            (low, high), (diff_low, diff_high) = pair(c.get("ci")), pair(c.get("diff_ci"))
            numbers = (e.problems, c.get("mean"), low, high, c.get("diff"), diff_low, diff_high, c.get("p"), same)
            rows.append(Measured(e.dataset, e.model, e.version, name, e.k, *numbers))
    return tuple(rows)


def _seen(row: Measured) -> Measured:
    fields = (row.dataset, row.model, row.version, row.control, row.k, row.problems, row.mean, row.low, row.high)
    return Measured(*fields, seen_by_gate=True)


def present_effect(evidence: Sequence[Evidence], changed: int) -> Evidence | None:
    """Return the measurement that speaks for the words a lesson has since version `changed`."""
    return effect_of(own_words(evidence, changed))


class Effect(Protocol):
    """What a measurement found, about which lessons."""

    @property
    def estimate(self) -> float | None: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102
    @property
    def lesson_ids(self) -> Sequence[int]: ...  # noqa: D102


def effect_words(evidence: Effect | None) -> str:
    """Return what a measured effect shows, so that no reader needs the colour of a plot."""
    if evidence is None or evidence.estimate is None:
        return "not measured"
    if evidence.low is None or evidence.high is None:
        return "no interval"
    if evidence.low > 0:
        return "helps"
    if evidence.high < 0:
        return "harms"
    if evidence.low > -WORTH and evidence.high < WORTH:
        return "hardly any effect"
    return "unclear alone" if len(evidence.lesson_ids) == 1 else "unclear"
