"""Right when the chosen letter of a multiple-choice question is the reference letter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tfgrpo.graders.base import judged, no_reference, unscored
from tfgrpo.graders.extract import after_thinking, final_answer
from tfgrpo.types import Problem, Rollout, Score

_WRAPPING = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mbox|boxed)\s*|[{}$*_`\"']")


@dataclass(frozen=True, slots=True)
class Choice:
    r"""1 when the letter the answer settles on equals the reference letter, else 0.

    Accepted, in either case: "B", "(B)", "B.", "B) because", "The answer is B", "option b", `\boxed{\text{(B)}}`.
    """

    letters: str = "ABCDE"
    """The letters a question may offer, as capitals."""

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; all stay unscored when the reference holds no letter."""
        if problem.answer is None:
            return (no_reference(problem),) * len(rollouts)
        wanted = chosen_letter(problem.answer, self.letters)
        if wanted is None:
            message = (
                f"the reference answer {problem.answer[:80]!r} of problem {problem.id!r} is none of {self.letters}"
            )
            return (unscored(message),) * len(rollouts)
        return tuple(self._score(rollout, wanted) for rollout in rollouts)

    def _score(self, rollout: Rollout, wanted: str) -> Score:
        """Compare one letter; an answer without one is wrong."""
        got = chosen_letter(rollout.answer, self.letters)
        return judged(got == wanted, got or rollout.answer[-120:], wanted)


def chosen_letter(text: str, letters: str = "ABCDE") -> str | None:
    """The letter a text settles on, as a capital; None if it names none.

    First the final answer alone, when it starts with a letter set apart; then the last "answer is X" or "option X" of
    the text; then the last letter in brackets; then the last capital standing alone.
    """
    text = after_thinking(text)
    final, plain = _WRAPPING.sub("", final_answer(text)).strip(), _WRAPPING.sub("", text)
    # "a" is also a word: as a choice nothing but a reason may follow it.
    one = rf"(?:(?![aA])[{letters}{letters.lower()}](?![\w'’])|[aA](?![\w'’])(?!\s+(?!(?:because|since|as|is)\b)[a-z]))"
    named = r"(?i:answer|choice|option|select|choose)\s*(?i:is|would be|[:=])?\s*(?i:option|choice)?\s*:?\s*"
    tried = (
        (rf"^\(?({one})(?:\s*[).:,]|\s*$|\s+(?:because|since|as)\b|\s*[-–—]\s)", final),
        (rf"{named}\(?({one})", plain),
        (rf"\(({one})\)", plain),
        (rf"(?<![\w'])(?=[A-Z])({one})", plain),
    )
    for pattern, where in tried:
        found = [letter.upper() for letter in re.findall(pattern, where) if letter.upper() in letters]
        if found:
            return str(found[-1])
    return None
