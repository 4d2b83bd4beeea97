"""Right when the last number of the final answer equals the reference number, within a tolerance."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from tfgrpo.graders.base import judged, no_reference, unscored
from tfgrpo.graders.extract import final_answer
from tfgrpo.types import Problem, Rollout, Score

_FRACTION = re.compile(r"\\[dtc]?frac\s*(?:\{\s*(-?[\d.,]+)\s*\}|(\d))\s*(?:\{\s*(-?[\d.,]+)\s*\}|(\d))")
_TIMES_TEN = re.compile(r"\s*(?:\\times|\\cdot|[x×·*])\s*10\s*(?:\^|\*\*)\s*\{?\s*([-+]?\d+)\s*\}?")
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+\.?\d*|\.\d+)"
_NUMBER = re.compile(
    rf"(?<![\w.^])(-?)\s*[$€£]?\s*({_DIGITS}(?:[eE][-+]?\d{{1,4}}(?![\w.]))?)(?:\s*/\s*({_DIGITS}))?\s*(%)?"
)
_MIXED = re.compile(r"(?<![\w./])(\d+)\s+(\d+)\s*/\s*(\d+)(?![\w.])")

_MAX_DIGITS = 1000


@dataclass(frozen=True, slots=True)
class Numeric:
    r"""1 when the answer's last number is the reference within either tolerance, else 0.

    Read are 1,234.5, 3/4, 1 1/2, \frac{3}{4}, 2.5e3, 2.5 \times 10^3 and $5; words and units around are ignored.
    A percent sign counts only when both sides could carry it: 50% equals 50 and 0.5.
    """

    rel_tol: float = 1e-6
    """Allowed difference relative to the reference."""
    abs_tol: float = 1e-9
    """Allowed absolute difference; what matters near zero."""

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; all stay unscored when the reference holds no number."""
        if problem.answer is None:
            return (no_reference(problem),) * len(rollouts)
        wanted = last_number(final_answer(problem.answer))
        if wanted is None:
            message = (
                f"the reference answer {problem.answer[:80]!r} of problem {problem.id!r} holds no number; use exact"
            )
            return (unscored(message),) * len(rollouts)
        return tuple(self._score(rollout, wanted, problem.answer) for rollout in rollouts)

    def _score(self, rollout: Rollout, wanted: Number, shown: str) -> Score:
        """Compare one answer; an answer without a number is wrong."""
        text = final_answer(rollout.answer)
        got = last_number(text)
        return judged(got is not None and self._same(got, wanted), text[-120:], shown)

    def _same(self, got: Number, wanted: Number) -> bool:
        """Equal within tolerance; with a percent sign on one side only, as it stands or divided by 100."""
        pairs = [(got.value, wanted.value)]
        if got.percent and not wanted.percent:
            pairs.append((got.value / 100, wanted.value))
        if wanted.percent and not got.percent:
            pairs.append((got.value, wanted.value / 100))
        return any(self._close(a, b) for a, b in pairs)

    def _close(self, a: Fraction, b: Fraction) -> bool:
        """Compared exactly, as fractions: floats would overflow on large numbers."""
        return abs(a - b) <= max(Fraction(self.abs_tol), Fraction(self.rel_tol) * abs(b))


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: Fraction
    percent: bool = False


def last_number(text: str) -> Number | None:
    """The last number in a text, exact; None if there is none (or only a division by zero, or 1,000 digits)."""
    found = list(_NUMBER.finditer(_plain(text)))
    for match in reversed(found):
        sign, digits, divisor, percent = match.groups()
        if len(match[0]) > _MAX_DIGITS:
            return None
        value = _value(digits)
        below = _value(divisor) if divisor else Fraction(1)
        if below:
            return Number((-1 if sign else 1) * value / below, bool(percent))
    return None


def _plain(text: str) -> str:
    r"""LaTeX and typography of numbers as plain text: \frac{1}{2}, 1 1/2, 3 \times 10^5, − and \%."""
    text = re.sub(
        r"\\[!,;: ]|\{,\}", lambda m: "," if m[0] == "{,}" else "", text.replace("−", "-").replace("\\%", "%")
    )
    text = re.sub(r"(?<=\d)[\u202f\u00a0](?=\d{3})", "", text)
    text = _FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]}", text)
    text = _MIXED.sub(lambda m: f"{int(m[1]) * int(m[3]) + int(m[2])}/{m[3]}", text)
    return _TIMES_TEN.sub(lambda m: f"e{m[1]}", text)


def _value(digits: str) -> Fraction:
    """Digits and exponent as an exact fraction; the pattern bounds the exponent, `_MAX_DIGITS` the digits."""
    mantissa, _, exponent = digits.replace(",", "").lower().partition("e")
    return Fraction(mantissa.rstrip(".")) * Fraction(10) ** int(exponent or 0)
