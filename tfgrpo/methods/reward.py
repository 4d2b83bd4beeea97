"""The reward of a run, one function for everybody: learning groups, gate, held-out figures and report.

A method decides what a rollout is worth: the grader's score, or its named parts with the method's weights and
conditioning, punished for its length, charged for its tokens. Two lines use two scales. Groups and figures show the
reward as the method writes it; the gate's test needs rewards in [0, 1], so that each is mapped by the range of the
reward, which is declared, follows from the settings, or is read off the first measurement, before any gate is asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tfgrpo.advantages import mask_truncated, soft_overlong
from tfgrpo.config import LearnConfig
from tfgrpo.errors import UsageError
from tfgrpo.types import Rollout, Score

CHARS_PER_TOKEN = 4
LEVELS = 6
"""So many different values, at most, make a scale that can be read off a measurement."""


@dataclass(frozen=True, slots=True)
class Range:
    """Where values lie, and how that is known."""

    low: float = 0.0
    high: float = 1.0
    how: str = "declared"
    """`declared`, `settings`, `observed`, or `assumed` where nothing outside of [0, 1] was seen."""

    def unit(self, value: float) -> float:
        """Map a value to [0, 1]; what lies outside of the range counts as its end, nan stays nan."""
        if math.isnan(value) or self.high <= self.low:
            return value if math.isnan(value) else 0.0
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    @property
    def is_unit(self) -> bool:
        """Whether values are left as they are."""
        return (self.low, self.high) == (0.0, 1.0)


UNIT = Range()


@dataclass(frozen=True, slots=True)
class Reward:
    """What a rollout is worth under a configuration."""

    config: LearnConfig = field(default_factory=LearnConfig)

    def __call__(self, rollout: Rollout, score: Score) -> float:
        """Return the reward of one graded rollout; nan where it has none."""
        value = self.graded(score)
        shaping = self.config.shaping
        if shaping.mask_truncated:
            (value,) = mask_truncated([value], [rollout.finish_reason == "length"])
        limit = self.limit
        if limit is None:
            return value
        size = generated_length(rollout)
        if shaping.overlong is not None:
            cache = round(shaping.overlong * limit)
            value += soft_overlong([size], max_length=limit, cache=cache, factor=shaping.factor)[0]
        return value - self.config.reward.token_cost * min(size / limit, 1.0)

    @property
    def limit(self) -> int | None:
        """The length in tokens that shaping and token cost refer to; None where there is none."""
        return self.config.shaping.max_length or self.config.rollout.max_tokens

    def graded(self, score: Score) -> float:
        """Return what the graders say before any shaping: for GDPO the weighted mean of the parts that pay."""
        if score.value is None:
            return math.nan
        if self.config.advantage.kind != "gdpo" or not score.parts:
            return score.value
        paid = self.paid_parts(score)
        weights = self.weights(paid)
        total = math.fsum(abs(weights[name]) for name in paid)
        return math.fsum(weights[name] * paid[name] for name in paid) / total if total else 0.0

    def paid_parts(self, score: Score) -> dict[str, float]:
        """Return the named scores of a rollout as they pay, nan where one is missing; {} where there are no parts."""
        return self._paid({part.name: math.nan if part.value is None else part.value for part in score.parts})

    def weights(self, names: Iterable[str]) -> dict[str, float]:
        """Return the weight of each grader by name: the method's, else the grader's, else 1."""
        chosen = self.config.advantage.weights or self.config.grader.parts
        return {name: float(chosen.get(name, 1.0)) for name in names}

    def _paid(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the parts of which each but the conditioning one counts 0 below the threshold (GDPO, Eq. 8)."""
        wanted = self.config.advantage
        on = values.get(wanted.condition_on, math.inf)
        return {name: 0.0 if on < wanted.threshold and name != wanted.condition_on else v for name, v in values.items()}

    def range(self, seen: Sequence[Score]) -> Range:
        """Return where rewards lie, shaping and token cost included.

        Args:
            seen: scores of the first measurement, for graders of which nothing is declared.

        Raises:
            UsageError: the range cannot be known; the message names the setting that declares it.
        """
        base = self._graded_range([v for s in seen if not math.isnan(v := self.graded(s))])
        low = base.low
        if self.limit is not None:
            low -= (1.0 if self.config.shaping.overlong is not None else 0.0) + self.config.reward.token_cost
        return base if low == base.low else Range(low, base.high, "settings" if base.how == "assumed" else base.how)

    def _graded_range(self, values: Sequence[float]) -> Range:
        declared = self.config.reward
        if declared.low is not None and declared.high is not None:
            return Range(declared.low, declared.high)
        parts = self.config.grader.parts
        if parts and self.config.advantage.kind != "gdpo":
            low, high = (math.fsum(side(w, 0.0) for w in parts.values()) for side in (min, max))
            if all(low - 1e-9 <= v <= high + 1e-9 for v in values):
                return Range(low, high, "settings")
        return observed_range(values, "the grader's values", "-s reward.low=... -s reward.high=...")


def observed_range(values: Sequence[float], what: str, setting: str) -> Range:
    """Return the range of a first measurement: [0, 1] where all lie in it, the ends of a scale of few levels, no other.

    Raises:
        UsageError: values outside of [0, 1] that show no scale.
    """
    levels = sorted(set(values))
    if not levels or (levels[0] >= 0.0 and levels[-1] <= 1.0):
        return Range(0.0, 1.0, "assumed")
    if 2 <= len(levels) <= LEVELS:
        return Range(levels[0], levels[-1], "observed")
    raise UsageError(
        f"{what} lie outside of [0, 1], from {levels[0]:g} to {levels[-1]:g} in a first measurement, and the range "
        f"that they can have is not known; the gate needs it: give {setting}"
    )


def generated_length(rollout: Rollout) -> float:
    """Generated tokens of a rollout; a quarter of the characters of its answer where nobody counted."""
    return float(rollout.usage.completion_tokens or math.ceil(len(rollout.answer) / CHARS_PER_TOKEN))


def grader_score(rollout: Rollout, score: Score) -> float:
    """Return the grader's score as the reward: what is measured where no method is chosen; nan where there is none."""
    return math.nan if score.value is None else score.value


def parts_of(score: Score) -> dict[str, float]:
    """Return the named values that a score combines, those that are there."""
    return {part.name: part.value for part in score.parts if part.name and part.value is not None}


def part_ranges(seen: Sequence[Score], config: LearnConfig = LearnConfig()) -> dict[str, Range]:
    """Return the range of each named value: as declared, else what a first measurement showed of it.

    Raises:
        UsageError: a gate weighs named values, and one lies outside of [0, 1] without ever varying; the message names
            the setting that declares its range.
    """
    columns: dict[str, list[float]] = {}
    for score in seen:
        for name, value in parts_of(score).items():
            columns.setdefault(name, []).append(value)
    declared = {name: _declared_range(name, ends) for name, ends in config.reward.parts.items()}
    found = {name: declared.get(name) or _seen_range(v) for name, v in columns.items()}
    for name, own in found.items():
        if own.high <= own.low and config.gate.options.get("objectives"):
            raise UsageError(
                f"the score {name!r} was {own.low:g} all through a first measurement, so that its range is not known, "
                f"and the gate weighs it: give -s 'reward.parts.{name}=[LOW, HIGH]'"
            )
    return found


def _declared_range(name: str, ends: object) -> Range:
    pair = isinstance(ends, list | tuple) and len(ends) == 2 and all(isinstance(e, int | float) for e in ends)
    if pair and ends[0] < ends[1]:  # type: ignore[index]
        return Range(float(ends[0]), float(ends[1]))  # type: ignore[index]
    raise UsageError(f"reward.parts.{name} is [LOW, HIGH], the lower number first, not {ends!r}")


def _seen_range(values: Sequence[float]) -> Range:
    """The unit range where all values lie in it, else their ends."""
    low, high = min(values), max(values)
    return UNIT if low >= 0.0 and high <= 1.0 else Range(low, high, "observed")
