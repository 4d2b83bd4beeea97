"""Right when the letters a reply settles on are those of the reference; see `choice_reading` for what settles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tfgrpo.graders.base import judged, no_reference, reference_of, unscored
from tfgrpo.types import Problem, Rollout, Score

if TYPE_CHECKING:
    from tfgrpo.graders.choice_reading import Said


@dataclass(frozen=True, slots=True)
class Choice:
    r"""1 when the answer settles on exactly the reference's letters, else 0.

    Accepted, in either case: "B", "(B)", "B.", "B) because", "The answer is B", "option b", `\boxed{\text{(B)}}`,
    "答案是B". A reference of several letters ("A, C", "AC") wants all of them and no other; "A or C" wants one of them.
    """

    letters: str = "ABCDE"
    """The letters a question may offer, as capitals."""

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; all stay unscored when the reference holds no letter, or one beyond the offered."""
        reference = reference_of(problem)
        if reference is None:
            return (no_reference(problem),) * len(rollouts)
        said = _letters_of(reference)
        if not said.letters or not said.letters <= set(self.letters):
            message = f"the reference answer {reference[:80]!r} of problem {problem.id!r} is none of {self.letters}"
            return (unscored(message),) * len(rollouts)
        wanted = [frozenset(letter) for letter in said.letters] if said.either else [said.letters]
        return tuple(self._score(rollout, wanted, reference) for rollout in rollouts)

    def _score(self, rollout: Rollout, wanted: Sequence[frozenset[str]], reference: str) -> Score:
        """Compare the letters; an answer without any, or with an alternative, is wrong."""
        said = _letters_of(rollout.answer)
        got = ", ".join(sorted(said.letters)) if said.letters else rollout.answer[-120:]
        return judged(not said.either and said.letters in wanted, got, reference)


def chosen_letter(text: str, letters: str = "ABCDE") -> str | None:
    """The one letter a text settles on, as a capital; None if it is none, several, or not among `letters`."""
    said = _letters_of(text)
    return next(iter(said.letters)) if len(said.letters) == 1 and said.letters <= set(letters) else None


def _letters_of(text: str) -> Said:
    """Return what a text settles on."""
    from tfgrpo.graders.choice_reading import chosen_letters  # noqa: PLC0415 - .2 s of patterns that few runs need

    return chosen_letters(text)
