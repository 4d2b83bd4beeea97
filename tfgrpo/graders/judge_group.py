"""A judge that compares the answers of a group: every question is put in both orders, so that position decides nothing.

`pairs`   every two answers; an answer's score is the share of comparisons it wins, a verdict that turns with the order
          is a tie. D distinct answers cost D (D - 1) calls.
`rank`    the whole group in order, best first; the score is the share of the others that an answer beats. 2 calls.
`grades`  the whole group against one measure, from EXCELLENT (1) to WRONG (0). 2 calls.

With several votes each is asked in both orders.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import fmean

from pydantic import BaseModel

from tfgrpo.config.grader import GraderConfig
from tfgrpo.graders.judge_reply import (
    SIDES,
    GradesReply,
    RankReply,
    SideReply,
    read_grades,
    read_ranking,
    read_verdict,
    win_shares,
)
from tfgrpo.graders.votes import JudgeModel, Question, ask, sampling
from tfgrpo.types import Failure, Problem, Score

Mode = Callable[[JudgeModel, GraderConfig, Problem, Sequence[str], str], Awaitable[dict[str, Score]]]


async def pairs(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, texts: Sequence[str], rule: str
) -> dict[str, Score]:
    """Compare every two answers in both orders."""
    couples = list(combinations(range(len(texts)), 2))
    jobs = [partial(_couple, judge_model, config, problem, texts[a], texts[b], rule) for a, b in couples]
    found = await judge_model.executor.run(jobs)
    wins: dict[int, list[float]] = {i: [] for i in range(len(texts))}
    for (a, b), share in zip(couples, found, strict=True):
        if isinstance(share, float):
            wins[a].append(share)
            wins[b].append(1 - share)
    failed = next((share for share in found if isinstance(share, Failure)), None)
    return {text: _won(wins[i], failed) for i, text in enumerate(texts)}


async def _couple(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, a: str, b: str, rule: str
) -> float | Failure | None:
    """How much of the comparison `a` wins against `b`: 1, 0.5 or 0 per vote; None where the judge abstained.

    A vote counts where both orders were answered; one that turns with the order is a tie.
    """
    form = Form("judge/pair", SideReply, _side)
    straight = await ask(judge_model, _question(judge_model, config, problem, (a, b), rule, form), range(config.votes))
    swapped = await ask(judge_model, _question(judge_model, config, problem, (b, a), rule, form), range(config.votes))
    shares = []
    for one, other in zip(straight, swapped, strict=True):
        if not isinstance(one, Failure) and not isinstance(other, Failure):
            (first, _), (second, _) = one[0], other[1]
            if first is not None and second is not None:
                shares.append((first + second) / 2)
    failed = next((reply for reply in (*straight, *swapped) if isinstance(reply, Failure)), None)
    return fmean(shares) if shares else failed


@dataclass(frozen=True, slots=True)
class Form:
    """How a group is asked about: the template, the reply's form, and what a reply gives each answer shown."""

    template: str
    schema: type[BaseModel]
    read: Callable[[str, int], Sequence[tuple[float | None, str]]]


async def rank(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, texts: Sequence[str], rule: str
) -> dict[str, Score]:
    """Order the whole group, in two orders per vote."""
    return await _whole(judge_model, config, problem, texts, rule, Form("judge/rank", RankReply, _shares))


async def grades(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, texts: Sequence[str], rule: str
) -> dict[str, Score]:
    """Grade the whole group against one measure, in two orders per vote."""
    return await _whole(judge_model, config, problem, texts, rule, Form("judge/group", GradesReply, read_grades))


async def _whole(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, texts: Sequence[str], rule: str, form: Form
) -> dict[str, Score]:
    """Ask about all answers at once, shuffled and in the opposite order, and average what is said of each."""
    order = list(range(len(texts)))
    random.Random(problem.id).shuffle(order)
    said: dict[int, list[tuple[float, str]]] = {i: [] for i in order}
    failed: Failure | None = None
    for shown in (order, order[::-1]):
        question = _question(judge_model, config, problem, [texts[i] for i in shown], rule, form)
        for reply in await ask(judge_model, question, range(config.votes)):
            if isinstance(reply, Failure):
                failed = reply
                continue
            for i, (value, reason) in zip(shown, reply, strict=True):
                if value is not None:
                    said[i].append((value, reason))
    return {text: _won([v for v, _ in said[i]], failed, [r for _, r in said[i]]) for i, text in enumerate(texts)}


def _question(
    judge_model: JudgeModel, config: GraderConfig, problem: Problem, texts: Sequence[str], rule: str, form: Form
) -> Question[Sequence[tuple[float | None, str]]]:
    answers = [{"index": number, "text": text} for number, text in enumerate(texts, 1)]
    prompt = judge_model.prompts.render(
        form.template, problem=problem, reference=problem.answer, rubric=rule or None, answers=answers
    )

    def read(text: str) -> Sequence[tuple[float | None, str]]:
        return form.read(text, len(texts))

    return Question(prompt, form.schema.model_json_schema(), read, sampling(config))


def _shares(text: str, count: int) -> list[tuple[float | None, str]]:
    won = win_shares(read_ranking(text, count))
    return [(won[i], "") for i in range(count)]


def _side(text: str, count: int) -> list[tuple[float | None, str]]:
    """What each of two answers wins: 1, 0.5 or 0; None where the judge abstained."""
    said = read_verdict(text, SIDES)
    wins = {"1": 1.0, "2": 0.0, "TIE": 0.5}.get(said.word)
    return [(wins, said.reason), (None if wins is None else 1 - wins, said.reason)][:count]


def _won(values: Sequence[float], failed: Failure | None, reasons: Sequence[str] = ()) -> Score:
    """The mean of what was said of one answer, in words that show how far the orders agree."""
    if not values:
        return Score(None, "" if failed else "the judge abstained", failure=failed)
    each = "/".join(f"{v:g}" for v in values)
    reason = next((r for r in reasons if r), "")
    return Score(fmean(values), f"compared with the group: {each}{f'; {reason}' if reason else ''}")


MODES: Mapping[str, Mode] = {"pairs": pairs, "rank": rank, "grades": grades}
"""The modes that see a whole group."""
