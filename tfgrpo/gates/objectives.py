"""Several objectives: an edit enters if one of them improves and none is worse by more than delta.

Each objective is tested for gain at its share of alpha, and for harm at the design's level. A gain alone ends nothing:
the others are watched up to the horizon, because a lesson that buys one with another often shows its gain first. Tokens
are an objective like any other: a pair's difference is the share of them that the cheaper side saves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isnan, nan, sqrt
from statistics import stdev

from experience_db import Edit, Evidence
from tfgrpo.errors import UsageError
from tfgrpo.gates.base import TOKENS, Case, Missing, Observation, Rewards, Trial
from tfgrpo.gates.comparison import Comparison, Design, Pair, Question, wave
from tfgrpo.gates.sequential import Answer, Plan, State
from tfgrpo.gates.verdicts import gate_evidence
from tfgrpo.types import Verdict

NEVER = 1_000_000
FURTHER = 4
"""Times the pairs of a test that an edit which improved one objective may take until the others are clear."""
CLEAR = 1.28
"""Standard errors between an objective's effect and -delta from which it is clear: one side errs in a tenth."""
SCORES = "scores"
"""The objective that stands for every named score of the grader."""

Met = tuple[Case, Observation, Observation]
"""A case, and what the current library and the candidate made of it."""


@dataclass(frozen=True, slots=True)
class Side:
    """One objective under test."""

    gain: Comparison
    harm: State
    """The same differences with the other sign; `helps` means that the objective got worse."""

    @property
    def worse(self) -> bool:
        """Whether it was shown to be worse."""
        return self.harm.answer is Answer.HELPS

    def words(self, name: str) -> str:
        """The objective's effect with its p."""
        p = self.harm.p_helps if self.worse else self.gain.state.p_helps
        return f"{name} {self.gain.estimate:+.3f} (p = {p:.2g})"


@dataclass(frozen=True, slots=True)
class TradeOff:
    """What an edit did to each objective."""

    sides: Mapping[str, Side]
    delta: float

    @property
    def improved(self) -> tuple[str, ...]:
        """Objectives that were shown to be better."""
        return tuple(name for name, side in self.sides.items() if side.gain.state.answer is Answer.HELPS)

    @property
    def worse(self) -> tuple[str, ...]:
        """Objectives that were shown to be worse."""
        return tuple(name for name, side in self.sides.items() if side.worse)

    @property
    def doubtful(self) -> tuple[str, ...]:
        """Objectives that seem worse by more than delta."""
        return tuple(name for name, side in self.sides.items() if side.gain.estimate < -self.delta)

    @property
    def unclear(self) -> bool:
        """Whether something improved, and another objective may or may not be worse by more than delta."""
        others = [side.gain for name, side in self.sides.items() if name not in self.improved]
        return bool(self.improved) and any(abs(g.estimate + self.delta) < CLEAR * _standard_error(g) for g in others)

    @property
    def main(self) -> Comparison:
        """The comparison that speaks for the edit: of the first objective that improved, else of the first."""
        return self.sides[(*self.improved, *self.sides)[0]].gain

    @property
    def over(self) -> bool:
        """Whether more pairs would change nothing: harm was shown, or no objective can improve any more."""
        return bool(self.worse) or all(
            s.gain.state.answer in (Answer.HARMS, Answer.NO_WORTH) for s in self.sides.values()
        )

    @property
    def decision(self) -> str:
        """`accepted`, `rejected` or `undecided`."""
        if self.worse or (self.over and not self.improved):
            return "rejected"
        enough = self.main.enough and not self.main.lost.one_sided
        return "accepted" if self.improved and not self.doubtful and enough else "undecided"

    @property
    def reason(self) -> str:
        """The decision in one sentence with each objective's effect."""
        told = ", ".join(side.words(name) for name, side in self.sides.items())
        where = f"on {self.main.problems} problems"
        if self.worse:
            return f"harmful: {' and '.join(self.worse)} got worse {where}: {told}"
        if self.improved and self.doubtful:
            better, doubtful = " and ".join(self.improved), " and ".join(self.doubtful)
            return f"undecided: {better} improved, but {doubtful} may be worse {where}: {told}"
        if self.improved:
            return f"better: {' and '.join(self.improved)} improved and nothing got worse {where}: {told}"
        return f"{'not worth it' if self.over else 'undecided'}: no objective improved {where}: {told}"

    def evidence(self, edit: Edit) -> Evidence:
        """Return the main objective's evidence with all objectives beside it."""
        own = gate_evidence(self.main, (edit,), "single", self.reason, self.decision)
        table = {
            name: {
                "estimate": _known(side.gain.estimate),
                "p_better": side.gain.state.p_helps,
                "p_worse": side.harm.p_helps,
            }
            for name, side in self.sides.items()
        }
        return replace(own, detail={**own.detail, "objectives": table})

    def verdict(self, edit: Edit) -> Verdict:
        """Return the verdict on the edit."""
        return Verdict(self.decision, (edit,), self.reason, (self.evidence(edit),))


def with_scores(names: Sequence[str], trial: Trial) -> tuple[str, ...]:
    """Return the objectives with `scores` replaced by the named scores of the grader, `trial.named`.

    A grader of a single value leaves none, and then the run's reward is tested.
    """
    own = tuple(getattr(trial, "named", ()))
    return tuple(dict.fromkeys(name for listed in names for name in (own if listed == SCORES else (listed,))))


def _known(value: float) -> float | None:
    return None if isnan(value) else value


async def weigh(
    trial: Trial, rewards: Rewards, question: Question, design: Design, plan: Plan, names: Sequence[str]
) -> TradeOff:
    """Ask a question of each objective in `names`, on the same pairs.

    An edit that improved one of them while another stays in doubt goes on for FURTHER times the pairs at most, pass by
    pass, until that one is clear: so only what may enter pays for them.

    Raises:
        UsageError: no rollout has one of the objectives.
    """
    each = replace(plan, alpha=plan.alpha / len(names), harm_horizon=1, pursuit=1.0)
    against = Plan(design.harm, 0.01, plan.horizon, 1, plan.rho, futility=0.0, idle=NEVER, hopeful=NEVER)
    start = Comparison(each.start(), question.touched)
    found = TradeOff({name: Side(start, against.start()) for name in names}, design.delta)
    for number in range(FURTHER * design.passes):
        if found.main.asked >= plan.horizon and not found.unclear:
            break
        cases = wave(question, number)[: _pairs(found, plan) - found.main.asked]
        size = design.look if number == 0 else max(1, len(cases))
        for begin in range(0, len(cases), size):
            look = cases[begin : begin + size]
            before = await rewards.measure(trial, question.current, look)
            after = await rewards.measure(trial, question.candidate, look)
            pairs = list(zip(look, before.observations, after.observations, strict=True))
            sides = {
                name: _grown(side, name, pairs, question, design, before.new + after.new, first=number == 0)
                for name, side in found.sides.items()
            }
            found = replace(found, sides=sides)
            if found.over:
                return found
    return found


def _pairs(found: TradeOff, plan: Plan) -> int:
    return FURTHER * plan.horizon if found.main.asked >= plan.horizon else plan.horizon


def _standard_error(found: Comparison) -> float:
    means = [total / n for total, n in found.sums.values()]
    return stdev(means) / sqrt(len(means)) if len(means) > 1 else 0.0


def _grown(
    side: Side,
    name: str,
    pairs: Sequence[tuple[Case, Observation, Observation]],
    question: Question,
    design: Design,
    new: int,
    *,
    first: bool,
) -> Side:
    own, sums, met, lost = side.gain, dict(side.gain.sums), list(side.gain.pairs), side.gain.lost
    for (problem, index), before, after in pairs:
        lost = lost.after(before, after)
        d = objective_difference(name, before, after)
        if not isnan(d):
            met.append(Pair(problem.id, index, d))
            unit = question.units.get(problem.id, problem.id)
            total, n = sums.get(unit, (0.0, 0))
            sums[unit] = (total + d, n + 1)
    asked = own.asked + len(pairs)
    if not met and asked >= design.look:
        raise UsageError(f"the gate's objective {name!r} has no value in {asked} pairs; see gate.options.objectives")
    means = [total / n for total, n in sums.values()]
    minus = [-m for m in means]
    if first:
        known = own.state.problems if own.state.answer is Answer.OPEN else len(means)
        gain = own.state.add(means[known:], len(pairs))
        harm = side.harm.add(minus[side.harm.problems :], len(pairs))
    else:
        gain, harm = own.state.again(means, len(pairs)), side.harm.again(minus, len(pairs))
    grown = replace(
        own, state=gain, pairs=tuple(met), sums=sums, asked=asked, looks=own.looks + 1, lost=lost,
        enough=len(met) >= design.usable * asked, new=own.new + new, cached=own.cached + 2 * len(pairs) - new,
    )  # fmt: skip
    return Side(grown, harm)


def objective_difference(name: str, before: Observation, after: Observation) -> float:
    """Return how much better an objective is after than before, in [-1, 1]; nan where that is not known.

    What a side lost by its own fault is 0 there; of tokens it is what it used.
    """
    if Missing.OUTAGE in (before.missing, after.missing):
        return nan
    old, new = before.objectives.get(name, nan), after.objectives.get(name, nan)
    if name == TOKENS:
        most = max(old, new)
        return (old - new) / most if most > 0 else 0.0 if most == 0 else nan
    if before.scored or after.scored:
        old = 0.0 if before.missing is Missing.OWN_FAULT else old
        new = 0.0 if after.missing is Missing.OWN_FAULT else new
    return new - old
