"""What a proof says: one finding per question, the noise of the same text against itself, and the verdict over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tfgrpo.proving.pairs import Pair


class Verdict(StrEnum):
    """The answer to "does this text help?"."""

    HELPS = "helps"
    HARMS = "harms"
    NO_WORTH = "no-worth"
    """No worth was found, and more pairs are unlikely to find one."""
    CANNOT_TELL = "cannot-tell"
    """The pairs there are do not suffice."""

    @property
    def words(self) -> str:
        """The verdict as a person reads it."""
        return {"no-worth": "no worth found", "cannot-tell": "cannot tell yet"}.get(self.value, self.value)


EXITS: Mapping[Verdict, int] = {Verdict.HELPS: 0, Verdict.HARMS: 1, Verdict.NO_WORTH: 1, Verdict.CANNOT_TELL: 3}


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one question: one text against another."""

    name: str
    """The text, or what else the question is called."""
    against: str
    kind: str
    """`text`, `together`, `leave-one-out`, `beside`, `filler` or `one-shot`."""
    verdict: Verdict
    reason: str
    effect: float | None
    """Mean difference over problems, with minus without; None without a pair."""
    ci: tuple[float | None, float | None]
    """95%; how it was made is in `interval`."""
    interval: str
    p: float | None
    """One-sided chance of a course at least as good if the text did not help."""
    p_harms: float | None
    alpha: float
    """Level of this question, after the error was shared over all."""
    pairs: tuple[Pair, ...]
    differences: Mapping[str, float]
    """By problem, the mean over its pairs."""
    touched: Mapping[str, Any]
    """`n`, `effect`, `ci`, `how`: the same on the problems that share a rare word with the text."""
    dropped: int = 0
    """Pairs that could not be formed: a side was missing, or both failed."""
    needed: int | None = None
    """Pairs that would show the effect asked for, at a power of .8."""

    @property
    def won(self) -> tuple[str, ...]:
        """Problems that went better with the text."""
        return tuple(problem for problem, d in self.differences.items() if d > 0)

    @property
    def lost(self) -> tuple[str, ...]:
        """Problems that went worse."""
        return tuple(problem for problem, d in self.differences.items() if d < 0)


@dataclass(frozen=True, slots=True)
class Floor:
    """The same text against itself: what a difference of nothing looks like here."""

    n: int = 0
    """Problems that were tried twice."""
    effect: float | None = None
    """Mean of second minus first."""
    ci: tuple[float | None, float | None] = (None, None)
    moved: float | None = None
    """Mean size of the change of one problem's reward."""
    flaky: tuple[str, ...] = ()
    """Problems whose reward changed."""
    square: float | None = None
    """Mean square of the changes: the variance of one pair if the text does nothing."""


NO_FLOOR = Floor()
"""Where nothing was tried twice."""


def failed_proof(reason: str, texts: Sequence[str], against: str, alpha: float, *, failed: bool = True) -> Proof:
    """Return the proof that could not be made: it cannot tell, and says why."""
    found = Finding(
        texts[0] if texts else "", against, "text", Verdict.CANNOT_TELL, reason, None, (None, None), "none", None, None,
        alpha, (), {}, {"n": 0, "effect": None, "ci": [None, None], "how": "all"},
    )  # fmt: skip
    return Proof(
        (found,), told={"texts": list(texts), "against": against, "alpha": alpha}, notes=(reason,), failed=failed
    )


@dataclass(frozen=True, slots=True)
class Proof:
    """Everything that one `prove` found."""

    findings: tuple[Finding, ...]
    """The questions that share the error: texts, all together, leave-one-out."""
    floor: Floor = NO_FLOOR
    controls: tuple[Finding, ...] = ()
    """The text against filler, or against what a model wrote in one shot."""
    told: Mapping[str, Any] = field(default_factory=dict)
    """What was asked: texts, tasks, model, grader, detect, ..."""
    drift: Mapping[str, Any] | None = None
    """Whether the baseline moved while it was measured: `first`, `last`, `p`."""
    seal: Mapping[str, Any] | None = None
    unpaired: Mapping[str, Any] = field(default_factory=dict)
    """What stored results could not be paired, by reason."""
    calls: Mapping[str, Any] = field(default_factory=dict)
    """Model calls: `new`, `replayed`."""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    failed: bool = False
    """The model could not be asked: its verdict says nothing of the text, and `--exit` does not excuse it."""
    beside: tuple[Finding, ...] = ()
    """Who hurts whom: a text next to one other, against that other alone. They share an error of their own."""

    @property
    def deciding(self) -> Finding:
        """The finding that gives the whole its verdict: the first that harms, else helps, is open, or found no worth.

        Of the questions about texts; leave-one-out and the set as a whole speak only where there is no other.
        """
        asked = [f for f in self.findings if f.kind == "text"] or list(self.findings)
        for verdict in (Verdict.HARMS, Verdict.HELPS, Verdict.CANNOT_TELL, Verdict.NO_WORTH):
            for finding in asked:
                if finding.verdict is verdict:
                    return finding
        raise AssertionError("a proof has at least one finding")

    @property
    def verdict(self) -> Verdict:
        """The verdict over all texts: harms as soon as one harms, else helps as soon as one helps."""
        return self.deciding.verdict
