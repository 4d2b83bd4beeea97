"""Right when the final answer is the same mathematics as the reference, as math-verify sees it, in a worker process."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from tfgrpo.boundary import failure_of
from tfgrpo.errors import GraderError
from tfgrpo.graders.base import judged, no_reference, reference_of, unscored
from tfgrpo.graders.extract import after_thinking, final_answer
from tfgrpo.graders.math_pool import TooHard, shared_pool
from tfgrpo.types import Problem, Rollout, Score

_LONGEST = 4000
"""Characters of an answer; no legitimate one is longer, and of a reply without a marked answer only the end is read."""
_DEEPEST = 50
_INTEGER = re.compile(r"[-+]?\d+")
_GROUPED = re.compile(r"[-+]?\d{1,3}(?:(?:,|\{,\})\d{3})+")
_TOWER = re.compile(r"\d{1,40}(?:[)}]?\s?\^\s?[({]{0,3}\s?\d{1,40}){1,20}")
_DIGITS = re.compile(r"\d+")
_MOST_DIGITS = 100_000
_NOISE = re.compile(r"\\left(?![a-z])|\\right(?![a-z])|\\[!,;: ]|\\displaystyle|[$\s]")


@dataclass(frozen=True, slots=True)
class Math:
    r"""1 when the answer equals the reference as mathematics, else 0.

    The answer is the last `\boxed{}`, `<answer>`, or answer line (see `extract.final_answer`), else the last expression
    of the reply. Equal texts and plain integers are decided here; the rest goes to a worker process.
    """

    seconds: float = 5.0
    """CPU time of one comparison. An answer that takes longer is wrong, with words that say so: no right answer does.

    Where the reference alone takes as long, or the machine is too busy to tell, the answer is unscored instead.
    """

    async def __call__(self, problem: Problem, rollouts: Sequence[Rollout]) -> tuple[Score, ...]:
        """Score every rollout; equal answers are compared once."""
        gold = reference_of(problem)
        if gold is None:
            return (no_reference(problem),) * len(rollouts)
        answers = [_answer(rollout.answer) for rollout in rollouts]
        pending: dict[str, Future[dict[str, Any]]] = {}
        known: dict[str, Score] = {}
        for answer in dict.fromkeys(answers):
            quick = _quick(gold, answer)
            if quick is None:
                pending[answer] = shared_pool().submit({"gold": gold, "pred": answer}, self.seconds)
            else:
                known[answer] = quick
        try:
            for answer, future in pending.items():
                known[answer] = await _finish(future, gold, answer, self.seconds)
        finally:
            for future in pending.values():
                future.cancel()
        return tuple(known[answer] for answer in answers)


async def _finish(future: Future[dict[str, Any]], gold: str, answer: str, seconds: float) -> Score:
    """The score from a worker's reply."""
    try:
        reply = await asyncio.wrap_future(future)
    except TooHard as error:
        return await _fault(str(error), gold, seconds)
    except GraderError as error:
        return Score(None, failure=failure_of(error))
    if "error" in reply:
        return await _fault(f"it cannot be read ({reply['error']})", gold, seconds)
    if reply["equal"] is None:
        return unscored(f"the reference answer {gold[:80]!r} cannot be read as mathematics; use exact")
    return judged(reply["equal"], reply["got"] or answer[-120:], gold)


async def _fault(why: str, gold: str, seconds: float) -> Score:
    """0 for an answer that cannot be compared; unscored where the reference cannot even be compared with 1."""
    try:
        reply = await asyncio.wrap_future(shared_pool().submit({"gold": gold, "pred": "1"}, seconds))
    except TooHard as error:
        return unscored(f"the reference answer {gold[:80]!r} cannot be compared: {error}; use exact")
    except GraderError as error:
        return Score(None, failure=failure_of(error))
    if "error" in reply or reply["equal"] is None:
        return unscored(f"the reference answer {gold[:80]!r} cannot be read as mathematics; use exact")
    return Score(0.0, f"wrong: {why}")


def _answer(reply: str) -> str:
    r"""What is compared: the marked answer alone, or the end of the reply; several boxes are left to math-verify."""
    reply = after_thinking(reply)
    if reply.count("\\boxed") > 1:
        tail = reply[-_LONGEST:]
        return tail if tail.count("\\boxed") > 1 else final_answer(reply)
    answer = final_answer(reply)
    return answer[-_LONGEST:] if answer == reply.strip() else answer


def _quick(gold: str, answer: str) -> Score | None:
    """The score where no worker is needed; None where one is. What no reference can equal is wrong, not missing."""
    if not answer.strip():
        return Score(0.0, "wrong: no answer")
    bare_gold, bare = _bare(final_answer(gold)), _bare(answer)
    if bare_gold == bare:
        return judged(True, answer, gold)
    if _INTEGER.fullmatch(bare_gold) and _INTEGER.fullmatch(bare):
        return judged(_digits(bare_gold) == _digits(bare), answer, gold)
    fault = _own_fault(answer, gold)
    return Score(0.0, f"wrong: the answer is {fault}") if fault else None


def _own_fault(answer: str, gold: str) -> str:
    """Why no reference can equal an answer; empty where one may."""
    if len(answer) > _LONGEST:
        return f"{len(answer)} characters long; at most {_LONGEST} can be right"
    if _depth(answer) > max(_DEEPEST, _depth(gold)):
        return f"nested deeper than {_DEEPEST} brackets"
    return "a power too large to work out" if is_tower(answer) else ""


def is_tower(text: str) -> bool:
    """Whether a text holds a power of a power of digits whose value has more than a hundred thousand digits."""
    for match in _TOWER.finditer(text.replace("**", "^")):
        *lower, top = [int(d[:9]) for d in _DIGITS.findall(match[0])]
        size = float(top)
        for base in reversed(lower[1:]):
            size = base**size if base < 2 or size * math.log10(base) < 12 else math.inf
        if lower[0] > 1 and size * math.log10(lower[0]) > _MOST_DIGITS:
            return True
    return False


def _bare(text: str) -> str:
    r"""An expression without what has no meaning: dollar signs, spaces, \left and \right, thousands commas."""
    text = _NOISE.sub("", text).replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac").removesuffix(".")
    return text.replace("{,}", "").replace(",", "") if _GROUPED.fullmatch(text) else text


def _digits(integer: str) -> tuple[bool, str]:
    """Sign and digits, compared as text: reading a million digits as a number takes minutes."""
    digits = integer.lstrip("+-").lstrip("0")
    return integer.startswith("-") and bool(digits), digits


def _depth(text: str) -> int:
    """How deep brackets are nested."""
    depth = deepest = 0
    for char in text:
        if char in "([{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in ")]}":
            depth = max(0, depth - 1)
    return deepest
