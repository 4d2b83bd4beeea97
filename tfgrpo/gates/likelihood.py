"""The likelihood gate ranks, prunes and vetoes edits without a single new rollout; it never says that one helps.

Stored rollouts of other problems are scored under the library with and without the edit. A library that makes old right
answers likelier need not make new answers right, so what comes out is called an edit score. Three rules are built in: a
problem that a lesson came from never scores it, since a lesson quotes its sources; every verdict names the noise floor
that edits without meaning span; and inside that floor nothing is decided.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from experience_db import Edit, Evidence, Library, Op
from tfgrpo import stats
from tfgrpo.advantages.moments import mean
from tfgrpo.config.method import EditScoreConfig
from tfgrpo.datasets.content_words import words
from tfgrpo.edit_scores import distinguishable, forgetting_veto
from tfgrpo.edit_scores.tokens import LogProbs
from tfgrpo.errors import UsageError
from tfgrpo.gates import edit_score
from tfgrpo.gates.base import UNJUDGED, Trial, fingerprint
from tfgrpo.gates.edit_score import gains, penalty
from tfgrpo.gates.scored_rollouts import RIGHT, Floor, Sides, coverage_of, floor_of
from tfgrpo.gates.touch import lesson_texts
from tfgrpo.types import Group, GroupStatus, Problem, Proposal, Rollout, Verdict

Null = tuple[str, list[Sides]]
"""An edit that changes nothing that matters: its name, and the rollouts before and after it."""
FEWEST = 4
"""Problems to score on where no problem of the run shares a word with the lesson."""
COVERAGE = 0.95
"""Share of rollouts that must be scored on both sides."""


class ScoringTrial(Trial, Protocol):
    """A trial that also knows the rollouts of the run so far, and can score them."""

    @property
    def groups(self) -> tuple[Group, ...]:
        """Graded groups of the learning problems, newest first."""
        ...

    @property
    def on_policy(self) -> bool:
        """Whether rollouts were drawn at temperature 1 without top-p, as the scorer measures."""
        ...

    async def log_probs(
        self, library: Library, pairs: Sequence[tuple[Problem, Rollout]], *, attempt: int = 0
    ) -> LogProbs:
        """Return one row per rollout, () where it has no token ids or cannot be scored."""
        ...

    async def paraphrase(self, text: str) -> str | None:
        """Return the same lesson in other words; None where no summarizer of its own was named."""
        ...

    def token_texts(self, rollout: Rollout) -> tuple[str, ...] | None:
        """Return what each token of a scored rollout spells; None where the endpoint does not say."""
        ...


@dataclass(frozen=True, slots=True)
class Assessment:
    """What is known of one edit."""

    edit: Edit
    score: float = math.nan
    """Mean gain over the problems; nan where nothing could be scored."""
    interval: tuple[float, float] = (math.nan, math.nan)
    """95% bootstrap interval over problems."""
    floor: float = 0.0
    floors: tuple[tuple[str, float], ...] = ()
    """Score of each null edit, by name."""
    problems: int = 0
    veto: str = ""
    """Which solved problem the edit makes less likely; empty when none."""
    missing: str = ""
    """Why there is no score."""
    rank: int = 0
    """1 for the highest score of the batch."""
    clipped: float = 0.0
    """Share of tokens, or rollouts, outside the trust region."""
    cap: float = 1.0
    """The share that is allowed."""
    detail: tuple[tuple[str, object], ...] = ()

    @property
    def decision(self) -> str:
        """`rejected` when vetoed, or mostly below the floor; `accepted` above it and inside its trust region."""
        if self.missing:
            return "undecided"
        if self.veto or (self.score < -self.floor and self.interval[1] < 0):
            return "rejected"
        shown = self.score > 0 and distinguishable(self.score, self.floor)
        return "accepted" if shown and self.clipped <= self.cap else "undecided"


@dataclass(slots=True)
class LikelihoodGate:
    """Decides by edit scores; keeps the null edits of a library version, which all its edits share."""

    score: EditScoreConfig = field(default_factory=EditScoreConfig)
    seed: int = 0
    problems: int = 8
    """Problems that an edit is scored on, at most."""
    rollouts: int = 4
    """Rollouts of each, at most: as many right as wrong ones where there are."""
    veto: bool = True
    """Refuse what makes the right rollouts of a solved problem less likely than any null edit does."""
    weight: float = field(init=False)
    """What distance costs as it stands; it may follow the accepted edits."""

    def __post_init__(self) -> None:
        """Begin with the configured weight."""
        self.weight = edit_score.distance_of(self.score).beta

    async def __call__(self, library: Library, proposals: Sequence[Proposal], trial: Trial) -> tuple[Verdict, ...]:
        """Return one verdict per proposal.

        Raises:
            UsageError: the trial cannot score.
        """
        assessed = await self.assess(library, [p.edit for p in proposals], trial)
        self.follow([a for a in assessed if a.decision == "accepted"])
        return tuple(Verdict(a.decision, (a.edit,), self.reason(a), (self.evidence(a),)) for a in assessed)

    def follow(self, accepted: Sequence[Assessment]) -> None:
        """Let the cost of distance follow the edits that were accepted, where the configuration says so."""
        for told in (dict(a.detail) for a in accepted):
            if isinstance(moved := told.get("kl"), float) and isinstance(target := told.get("kl_target"), float):
                self.weight = edit_score.next_beta(self.weight, moved, target, self.score, self.rollouts)

    async def assess(self, library: Library, edits: Sequence[Edit], trial: Trial) -> tuple[Assessment, ...]:
        """Score each edit on its own, on problems it did not come from, and rank them."""
        if not hasattr(trial, "log_probs"):
            raise UsageError("the likelihood gate needs a model that scores given tokens; use --gate paired or open")
        scoring: ScoringTrial = trial  # type: ignore[assignment]
        found = [await self._assess(library, edit, scoring) for edit in edits]
        order = sorted((i for i, a in enumerate(found) if not a.missing), key=lambda i: -found[i].score)
        return tuple(replace(a, rank=order.index(i) + 1 if i in order else 0) for i, a in enumerate(found))

    async def _assess(self, library: Library, edit: Edit, trial: ScoringTrial) -> Assessment:
        candidate = library.with_edits((edit,))
        if fingerprint(candidate) == fingerprint(library):
            return Assessment(edit, missing="the library stays as it is")
        groups = self.eligible(trial.groups, edit, library)
        if not groups:
            return Assessment(edit, missing="too few other problems that it speaks of have rollouts that can be scored")
        sides = await _sides(trial, groups, library, candidate)
        covered = coverage_of(sides)
        if not covered >= COVERAGE:
            said = f"only {covered:.0%} of the rollouts could be scored on both sides; {COVERAGE:.0%} are needed"
            return Assessment(edit, missing=said)
        nulls = await self._nulls(library, candidate, edit, groups, trial)
        floor = floor_of([null for _, null in nulls])
        return self._judge(edit, sides, nulls, floor, trial)

    def _judge(
        self,
        edit: Edit,
        sides: Sequence[Sides],
        nulls: Sequence[tuple[str, list[Sides]]],
        floor: Floor,
        trial: ScoringTrial,
    ) -> Assessment:
        gained = [g for g in gains(sides, self.score, floor) if not math.isnan(g)]
        if len(gained) < 2:
            return Assessment(edit, missing=f"{len(gained)} problems say something about it; at least 2 are needed")
        minus = penalty(sides, self.score, floor, self.weight)
        low, high = stats.bootstrap_mean(gained, seed=self.seed)
        floors = tuple((name, self._value(null, floor)) for name, null in nulls)
        return Assessment(
            edit,
            mean(gained) - minus,
            (low - minus, high - minus),
            max((abs(value) for _, value in floors if not math.isnan(value)), default=0.0),
            floors,
            len(gained),
            self._vetoed(sides, floor),
            clipped=0.0 if math.isnan(share := edit_score.clipped_share(sides, self.score, floor)) else share,
            cap=edit_score.cap_of(self.score),
            detail=(("penalty", minus), ("on_policy", trial.on_policy), *self._told(sides, floor, share).items()),
        )

    def _told(self, sides: Sequence[Sides], floor: Floor, share: float) -> dict[str, object]:
        """Return what helps to doubt a score, and what this kind adds."""
        told: dict[str, object] = {
            **edit_score.assessment_detail(sides),
            "components": edit_score.components(sides, floor),
            "distance_weight": self.weight,
            "kl_target": edit_score.target_of(self.score, floor),
        }
        if not math.isnan(share):
            told["clip_fraction"] = share
        if self.score.kind == "hicra" or self.score.options.get("token"):
            told["planning_tokens"] = edit_score.planning_found(sides)
        return told

    def _value(self, sides: Sequence[Sides], floor: Floor) -> float:
        return mean(gains(sides, self.score, floor)) - penalty(sides, self.score, floor, self.weight)

    def _vetoed(self, sides: Sequence[Sides], floor: Floor) -> str:
        if not self.veto:
            return ""
        solved = [s for s in sides if mean(s.right_G) > RIGHT]
        rows = [[d for d, right in zip(s.shifts_G, s.right_G, strict=True) if right == 1.0] for s in solved]
        found = forgetting_veto(rows, noise_floor=floor.worst)
        if not found.veto:
            return ""
        shift, name = min((m, s.group.problem.id) for m, s in zip(found.mean_P, solved, strict=True) if m == m)  # noqa: PLR0124 - nan
        lost = f"{-shift:.3f} nats per token, null edits at most {floor.worst:.3f}"
        return f"right rollouts of the solved problem {name!r} lose {lost}"

    def eligible(self, groups: Sequence[Group], edit: Edit, library: Library) -> tuple[Group, ...]:
        """Return the groups an edit is scored on: never those it came from, and those it speaks of where it names any.

        Where an edit reaches nothing its gain is noise around 0, which must neither hide the others nor decide alone:
        an edit that names problems, but fewer than two that may score it, has no score.
        """
        barred = {s.problem_id for s in edit.sources}
        barred |= {s.problem_id for lesson in library.lessons if lesson.id in edit.ids for s in lesson.sources}
        about = frozenset[str]().union(*map(words, lesson_texts(edit, library)))
        newest = {g.problem.id: g for g in reversed(groups) if g.problem.id not in barred and _usable(g)}
        pool = [g for g in reversed(newest.values()) if g.status is GroupStatus.KEPT]
        pool += [g for g in reversed(newest.values()) if g.status is not GroupStatus.KEPT]
        if any(about & words(g.problem.question) for g in groups):
            named = [g for g in pool if about & words(g.problem.question)]
            chosen = named[: self.problems] if len(named) > 1 else []
        else:
            chosen = pool[:FEWEST]
        return tuple(_thinned(g, self.rollouts) for g in chosen)

    async def _nulls(
        self, library: Library, candidate: Library, edit: Edit, groups: Sequence[Group], trial: ScoringTrial
    ) -> list[Null]:
        """Edits that change nothing that matters, each with the library before and after it."""
        nulls = [("re-score", await _sides(trial, groups, library, library, attempt=1))]
        if len(library.lessons) > 1:
            turned = replace(library, lessons=tuple(reversed(library.lessons)))
            nulls.append(("reorder", await _sides(trial, groups, library, turned)))
        if edit.op is Op.ADD and edit.text:
            noise = library.with_edits((replace(edit, text=shuffle_words(edit.text, self.seed)),))
            nulls.append(("shuffled words", await _sides(trial, groups, library, noise)))
        if edit.text and (other := await trial.paraphrase(edit.text)):
            told = library.with_edits((replace(edit, text=other),))
            nulls.append(("paraphrase", await _sides(trial, groups, candidate, told)))
        return nulls

    def reason(self, a: Assessment) -> str:
        """Return an assessment as one sentence that names its noise floor."""
        if a.missing:
            return f"{UNJUDGED}: {a.missing}"
        floors = ", ".join(f"{name} {value:+.3f}" for name, value in a.floors)
        said = (
            f"edit score {a.score:+.3f} [{a.interval[0]:+.3f}, {a.interval[1]:+.3f}] ({self.score.kind}, "
            f"{a.problems} other problems; noise floor {a.floor:.3f} from {floors})"
        )
        if a.veto:
            return f"vetoed: {a.veto}; {said}"
        if a.decision == "undecided" and a.score > a.floor:
            return f"outside its trust region on {a.clipped:.0%}, at most {a.cap:.0%} are allowed; {said}"
        words_of = {"accepted": "kept by", "rejected": "pruned by", "undecided": "indistinguishable from none by"}
        return f"{words_of[a.decision]} its {said}; a ranking, no measured effect"

    def evidence(self, a: Assessment) -> Evidence:
        """Return an assessment as evidence of kind `edit-score`; it has no estimate, because no effect was measured."""
        known = None if math.isnan(a.score) else a.score
        detail = {
            "score": self.score.kind,
            "edit_score": known,
            "interval": None if known is None else list(a.interval),
            "noise_floor": a.floor,
            "null_edits": {name: None if math.isnan(value) else value for name, value in a.floors},
            "rank": a.rank,
            "veto": a.veto,
            **dict(a.detail),
        }
        return Evidence(
            "edit-score",
            None,
            n=a.problems,
            lesson_ids=a.edit.ids,
            verdict=a.decision,
            reason=self.reason(a),
            detail=detail,
        )


async def _sides(
    trial: ScoringTrial, groups: Sequence[Group], old: Library, new: Library, *, attempt: int = 0
) -> list[Sides]:
    pairs = [(g.problem, r) for g in groups for r in g.rollouts_G]
    before = await trial.log_probs(old, pairs)
    after = await trial.log_probs(new, pairs, attempt=attempt)
    sides, start = [], 0
    for g in groups:
        end = start + len(g.rollouts_G)
        texts = tuple(trial.token_texts(r) for r in g.rollouts_G)
        sides.append(Sides(g, before[start:end], after[start:end], texts))
        start = end
    return sides


def _usable(group: Group) -> bool:
    """Whether a group has a contrast, or right rollouts that should stay, and token ids to score it by.

    Among rollouts that are all wrong, which one becomes likelier says nothing.
    """
    solved = mean(math.nan if s.value is None else s.value for s in group.scores_G) > RIGHT
    worth = group.status is GroupStatus.KEPT or (group.status is GroupStatus.FLAT and solved)
    return worth and any(r.reply is not None and r.reply.token_ids for r in group.rollouts_G)


T = TypeVar("T")


def _thinned(group: Group, most: int) -> Group:
    """Keep at most so many graded rollouts, taking right and wrong ones in turn."""
    graded = [i for i, s in enumerate(group.scores_G) if s.value is not None and not math.isnan(group.rewards_G[i])]
    right = [i for i in graded if (group.scores_G[i].value or 0.0) > RIGHT]
    wrong = [i for i in graded if i not in right]
    turns = [i for pair in zip(right, wrong, strict=False) for i in pair]
    kept = sorted([*turns, *(i for i in graded if i not in turns)][:most])

    def of(values: Sequence[T]) -> tuple[T, ...]:
        return tuple(values[i] for i in kept)

    return replace(
        group,
        rollouts_G=of(group.rollouts_G),
        scores_G=of(group.scores_G),
        rewards_G=of(group.rewards_G),
        advantages_G=of(group.advantages_G),
        shown=None,
        grader_advantages_G=(),
    )


def shuffle_words(text: str, seed: int) -> str:
    """Return the words of a lesson in random order: as long, the same vocabulary, no meaning."""
    order = text.split()
    random.Random(f"{seed}:{text}").shuffle(order)
    return " ".join(order)
