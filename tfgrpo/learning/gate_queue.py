"""Which edits of a step meet the gate, and in what order: by their scores on pilot rollouts.

Pilot rollouts are drawn at temperature 1 on the gate's problems, once per library version, and serve all edits; a
lesson came from a learning problem, so its source is none of them. Their seeds are theirs alone: no pair of the gate is
among them, so what an order looked at is drawn anew before anything is proved.

A score ranks, it is no effect: right lessons often score below 0. So it puts the best first, leaves the tail to another
step, and says which rival is tested; nothing is refused for its sign, and what waits may come again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from experience_db import Evidence, Library
from tfgrpo import config as configuration
from tfgrpo.advantages.moments import mean, std
from tfgrpo.config.method import EditScoreConfig
from tfgrpo.edit_scores.tokens import LogProbs
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import fingerprint
from tfgrpo.gates.comparison import shuffle_problems
from tfgrpo.gates.edit_score import gains, unclipped
from tfgrpo.gates.rival_race import rival_groups
from tfgrpo.gates.scored_rollouts import Floor, Sides
from tfgrpo.gates.touch import touched
from tfgrpo.learning.run import Run
from tfgrpo.lessons.review import edit_key
from tfgrpo.lessons.summarize import Contrast
from tfgrpo.rollout import make_group, measure
from tfgrpo.types import Group, Problem, Proposal, Sampling, Verdict

Pools = Callable[[Proposal], Sequence[Problem]]
"""Which problems may prove a proposal."""
FIRST = 40_000
"""Seed indices from here on belong to pilot rollouts; no test uses them."""
SHARED = 3
"""Problems that two rivals must have in common before their scores are compared."""


@dataclass(frozen=True, slots=True)
class Scored:
    """An edit with what its score rests on."""

    proposal: Proposal
    sides_P: tuple[Sides, ...] = ()
    gains_P: Mapping[str, float] = field(default_factory=dict)
    """Gain by problem id; 0 where all pilot rollouts of a problem fared alike, so that they say nothing."""

    @property
    def score(self) -> float:
        """Mean gain, each problem counting once; nan where no problem says anything."""
        return mean(self.gains_P.values()) if any(self.gains_P.values()) else math.nan

    @property
    def size(self) -> float:
        """Mean |log-ratio| in nats per token: how much the edit changes known behaviour; nan where unscored."""
        return mean(abs(d) for s in self.sides_P for d in s.shifts_G)


@dataclass(frozen=True, slots=True)
class Queue:
    """The edits of a step as they meet the gate."""

    going: tuple[Proposal, ...]
    """The best first."""
    waiting: tuple[Verdict, ...] = ()
    """What meets no gate this time, each with the reason."""
    evidence: Mapping[tuple[object, ...], Evidence] = field(default_factory=dict)
    """The score of each edit by its key."""

    @property
    def ranked(self) -> bool:
        """Whether scores put the edits in order."""
        return bool(self.evidence)

    def with_scores(self, verdict: Verdict) -> Verdict:
        """Return a verdict with the score of its edit as the last evidence."""
        own = self.evidence.get(edit_key(verdict.edits[0])) if verdict.edits else None
        return verdict if own is None else replace(verdict, evidence=(*verdict.evidence, own))


def unranked_because(error: BaseException, config: configuration.LearnConfig) -> str:
    """Say once what is done without scores that would be done by them, and why."""
    told = ["edits meet the gate in the order of their support"] if configuration.wants_scores(config) else []
    if configuration.bounds_by_scores(config):
        told.append("gate.max_kl bounds no version")
    return f"{' and '.join(told)}, since scores cannot be had: {error}" if told else ""


async def probe_scores(run: Run) -> None:
    """Score one token; an endpoint that cannot ends the run before it began, or leaves the order to support.

    Raises:
        UsageError: the endpoint cannot score, and the run makes no sense without.
    """
    if run.likelihood is None:
        return
    try:
        await run.likelihood.probe(run.learning[0])
    except UsageError as error:
        if configuration.needs_scores(run.config):
            raise
        run.likelihood, run.unranked = None, unranked_because(error.__cause__ or error, run.config)


async def in_order(run: Run, library: Library, proposals: Sequence[Proposal], pools: Pools) -> Queue:
    """Return the proposals in the order in which they shall meet the gate.

    Args:
        run: its configuration says whether scores order, `edit_score.order`.
        library: the version that all are edits of.
        proposals: in the order of their support.
        pools: the problems that may prove each.

    Raises:
        BudgetReached: a budget did not admit all pilot rollouts or scores.
    """
    wanted = run.config.edit_score
    if run.likelihood is not None and configuration.gate_scores_edits(run.config):
        await pilot_groups(run, library, [p for own in _chosen(run, library, proposals, pools) for p in own])
    if run.likelihood is None or len(proposals) < 2 or not configuration.wants_scores(run.config):
        return Queue(tuple(proposals))
    scored = await score_edits(run, library, proposals, pools)
    ranked = _ranked(scored)
    behind = _behind(ranked, wanted.behind)
    large = {i for i, s in enumerate(ranked) if wanted.max_size is not None and s.size > wanted.max_size}
    rivals = rival_groups([s.proposal for s in ranked])
    beaten = {i: len(behind.keys() & set(g)) for g in rivals for i in g}
    groups = [g for g in rivals if not set(g) <= large]
    tail = {i for g in groups[wanted.keep :] for i in g} if wanted.keep else set()
    said = [_evidence(s, place, len(ranked), wanted) for place, s in enumerate(ranked, 1)]
    waiting, going = [], []
    for i, s in enumerate(ranked):
        why = (
            f"it moves stored rollouts by {s.size:.2f} nats per token, more than {wanted.max_size:g}"
            if i in large
            else f"its score is behind that of {behind[i]!r}"
            if i in behind
            else f"{wanted.keep} of higher score went first"
            if i in tail
            else ""
        )
        if why:
            waiting.append(
                Verdict("untested", (s.proposal.edit,), f"pruned before the gate: {why}; it may come again", (said[i],))
            )
        else:
            going.append(replace(s.proposal, beaten=beaten[i]))
    keys = [edit_key(s.proposal.edit) for s in ranked]
    return Queue(tuple(going), tuple(waiting), dict(zip(keys, said, strict=True)))


async def best_of_each(run: Run, library: Library, contrasts: Sequence[Contrast], pools: Pools) -> list[Contrast]:
    """Return contrasts with the `lessons.per_group` best of their candidates, where lessons are sampled.

    The best have the highest score; where there is none, most draws said them. The others are left out, untested.
    """
    most = run.config.lessons.per_group
    if run.config.lessons.proposer != "sampled" or all(len(c.proposals) <= most for c in contrasts):
        return list(contrasts)
    first = {edit_key(p.edit): p for c in contrasts for p in c.proposals}
    scores = dict.fromkeys(first, 0.0)
    if run.likelihood is not None and configuration.wants_scores(run.config):
        known = {lesson.id for lesson in library}
        distinct = tuple(p for p in first.values() if set(p.edit.ids) <= known)
        scored = await score_edits(run, library, distinct, pools)
        ranked = _ranked(scored)
        scores |= {edit_key(s.proposal.edit): float(-place) for place, s in enumerate(ranked)}
    found = []
    for contrast in contrasts:
        best = sorted(contrast.proposals, key=lambda p: -scores[edit_key(p.edit)])
        why = f"pruned before the gate: {most} candidates of its group stood above it; it may come again"
        left = tuple(Verdict("untested", (p.edit,), why) for p in best[most:])
        found.append(replace(contrast, proposals=tuple(best[:most]), dropped=(*contrast.dropped, *left)))
    return found


async def score_edits(run: Run, library: Library, proposals: Sequence[Proposal], pools: Pools) -> tuple[Scored, ...]:
    """Score each edit on pilot rollouts of problems that it touches."""
    assert run.likelihood is not None
    chosen = _chosen(run, library, proposals, pools)
    groups = await pilot_groups(run, library, [problem for own in chosen for problem in own])
    old = await _rows(run, library, groups.values())
    sides_E = []
    for proposal, own in zip(proposals, chosen, strict=True):
        new = await _rows(run, library.with_edits((proposal.edit,)), [groups[p.id] for p in own])
        sides_E.append(tuple(Sides(groups[p.id], old[p.id], new[p.id]) for p in own))
    wanted = unclipped(run.config.edit_score)
    return tuple(
        Scored(
            proposal,
            sides,
            {
                s.group.problem.id: 0.0 if math.isnan(g) else g
                for s, g in zip(sides, gains(sides, wanted, Floor()), strict=True)
            },
        )
        for proposal, sides in zip(proposals, sides_E, strict=True)
    )


async def pilot_groups(run: Run, library: Library, problems: Sequence[Problem]) -> dict[str, Group]:
    """Return the pilot rollouts of these problems under `library` as graded groups; each is drawn once."""
    key, size = fingerprint(library), run.config.edit_score.rollouts
    run.pilots = {name: group for name, group in run.pilots.items() if name[0] == key}
    by_id = {problem.id: problem for problem in problems}
    missing = [problem for problem in by_id.values() if (key, problem.id) not in run.pilots]
    cases = [(problem, FIRST + i) for problem in missing for i in range(size)]
    drawn = Sampling(1.0, None, run.config.rollout.max_tokens)
    graded = await measure(run.actor, library, cases, drawn, "pilot") if cases else ()
    for place, problem in enumerate(missing):
        own = graded[place * size : (place + 1) * size]
        rollouts, scores = tuple(g.rollout for g in own), tuple(g.score for g in own)
        run.pilots[key, problem.id] = make_group(problem, rollouts, scores, library.version, run.config)
    return {name: run.pilots[key, name] for name in by_id}


def _chosen(run: Run, library: Library, proposals: Sequence[Proposal], pools: Pools) -> list[list[Problem]]:
    """Return for each edit the problems that score it: edits that touch the same meet the same ones."""
    order = f"{run.config.seed}/{library.name}/{library.version}/pilot"
    return [
        shuffle_problems(touched(p.edit, library, pools(p)).problems, order)[: run.config.edit_score.problems]
        for p in proposals
    ]


async def _rows(run: Run, library: Library, groups: Iterable[Group]) -> dict[str, LogProbs]:
    """Return the log-probs of all rollouts of these groups under a library, by problem id."""
    assert run.likelihood is not None
    listed = list(groups)
    rows = await run.likelihood.log_probs(library, [(g.problem, r) for g in listed for r in g.rollouts_G])
    found, start = {}, 0
    for group in listed:
        end = start + len(group.rollouts_G)
        found[group.problem.id], start = rows[start:end], end
    return found


def _ranked(scored: Sequence[Scored]) -> list[Scored]:
    """Return edits by score, the best first; support decides among equals, and no score stands in the middle."""
    known = sorted(s.score for s in scored if not math.isnan(s.score))
    middle = known[len(known) // 2] if known else 0.0
    return sorted(scored, key=lambda s: -(middle if math.isnan(s.score) else s.score))


def _behind(ranked: Sequence[Scored], errors: float) -> dict[int, str]:
    """Return the places of rivals that score clearly below the best of their subject, with the words of that one."""
    found = {}
    for first, *others in rival_groups([s.proposal for s in ranked]):
        best = ranked[first]
        for i in others:
            shared = best.gains_P.keys() & ranked[i].gains_P.keys()
            ahead = [best.gains_P[p] - ranked[i].gains_P[p] for p in shared]
            enough = len(ahead) >= SHARED and not math.isnan(best.score)
            if enough and mean(ahead) > errors * std(ahead) / math.sqrt(len(ahead)):
                found[i] = (best.proposal.edit.text or "")[:60]
    return found


def _evidence(scored: Scored, place: int, of: int, wanted: EditScoreConfig) -> Evidence:
    """Return a place in the queue as evidence of kind `edit-score`, without an estimate: no effect was measured."""
    known = None if math.isnan(scored.score) else scored.score
    said = "no score" if known is None else f"edit score {known:+.3f} ({wanted.kind})"
    detail = {
        "score": wanted.kind,
        "edit_score": known,
        "rank": place,
        "of": of,
        "size": None if math.isnan(scored.size) else scored.size,
        "role": "order",
    }
    return Evidence(
        "edit-score",
        None,
        n=len(scored.gains_P),
        lesson_ids=scored.proposal.edit.ids,
        verdict="undecided",
        reason=f"came {place} of {of} by {said} on {len(scored.gains_P)} problems; a ranking, no measured effect",
        detail=detail,
    )
