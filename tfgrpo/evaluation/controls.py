"""Controls: what else the same effort would have bought, measured on the same problems and seeds.

same       the same library on other seeds: what a difference of nothing looks like (A/A)
empty      no lessons
filler     as many lessons of the same length that say nothing
shuffled   the same words in random order, so that only their meaning is gone
tips       as many lessons, written by a model from questions alone, without a single attempt
best-of-n  no lessons, but as many rollouts as one rollout with the library costs; the commonest answer counts
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from experience_db import Lesson, Library, Op, Store
from tfgrpo.errors import EndpointError, MalformedReply, ProviderError, UsageError
from tfgrpo.evaluation import measure
from tfgrpo.evaluation.measure import Evaluation
from tfgrpo.graders.extract import final_answer, normalise
from tfgrpo.lessons.request_edits import ask_edits, ask_lines
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.replies import ParsedEdits
from tfgrpo.rollout import Actor, Graded
from tfgrpo.types import Problem, Sampling, Usage

NAMES = ("same", *measure.CONTROLS, "tips", "best-of-n")
MOST_ROLLOUTS = 64
"""Largest n of best-of-n."""
EXAMPLES = 8
"""Problems shown to the writer of tips."""


@dataclass(frozen=True, slots=True)
class ControlConditions:
    """What every control is measured with."""

    actor: Actor
    teacher: Teacher
    library: Library
    problems: tuple[Problem, ...]
    sampling: Sampling
    k: int
    seed: int
    examples: tuple[Problem, ...] = ()
    """Problems whose questions the writer of tips may see; best those that the library learned from."""
    task: str = ""
    """What the solver is for, in words."""


def tip_examples(store: Store, library: Library, problems: Sequence[Problem]) -> tuple[Problem, ...]:
    """Return problems for the writer of tips: some that the library learned from, else the first evaluated ones.

    Their answers are left out either way.
    """
    steps = sorted({(s.run, s.step) for lesson in library for s in lesson.sources if s.run})
    taught = [group["problem"] for run, step in steps[:EXAMPLES] for group in store.groups(run, step)]
    learned = [Problem(str(row["id"]), str(row.get("question", ""))) for row in taught]
    return tuple(learned or (Problem(p.id, p.question) for p in problems))[:EXAMPLES]


def check_controls(names: Sequence[str]) -> None:
    """Raise UsageError for a control that does not exist."""
    for name in names:
        if name not in NAMES:
            raise UsageError(f"no control {name!r}; there are: {', '.join(NAMES)}")


async def measure_control(name: str, given: ControlConditions, main: Evaluation) -> dict[str, Any]:
    """Measure one control beside `main`, which measured the library.

    Returns mean, interval, and the library's paired difference to it; a control that could not be made has no numbers
    but a `failure`.

    Raises:
        NothingLearned: not one rollout could be scored.
        BudgetReached: a budget did not admit all rollouts.
    """
    if name == "best-of-n":
        return await _best_of_n(given, main)
    try:
        other = await tips(given) if name == "tips" else _library(name, given)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply) as error:
        return {"mean": None, "ci": [None, None], "diff": None, "diff_ci": [None, None], "p": None} | {
            "failure": str(error)
        }
    first = given.k if name == "same" else 0
    found = await measure.evaluate(given.actor, other, given.problems, given.sampling, given.k, first=first)
    told = measure.control_result(main, found, given.seed)
    if name != "tips":
        return told
    unit, with_lessons, with_tips = _spend(main, found)
    spend = {"unit": unit, "library": with_lessons, "control": with_tips}
    return told | {"lessons": [lesson.text for lesson in other], "spend": spend}


def _library(name: str, given: ControlConditions) -> Library:
    if name == "same":
        return given.library
    return measure.control_library(name, given.library, given.teacher.prompts, given.seed)


async def tips(given: ControlConditions) -> Library:
    """Return the library that the summarizer writes without attempts: as many lessons as the real one has, at most.

    One call writes them all; a prompt set with a template `tips/each` takes one lesson a call, the earlier ones shown.

    Raises:
        MalformedReply: no reply can be read, also after it was asked for again, or none holds a lesson.
    """
    count = max(len(given.library), 1)
    alone = given.teacher.prompts.has("tips/each")
    write = _tips_in_lines if given.teacher.lines else _tips_each if alone else _tips_at_once
    texts = await write(given, count)
    if not texts:
        raise MalformedReply("the model wrote no tips")
    return replace(given.library, lessons=_numbered(texts))


async def _tips_in_lines(given: ControlConditions, count: int) -> list[str]:
    prompt = given.teacher.prompts.render("tips/lines", problems=given.examples[:EXAMPLES])
    return _added(await ask_lines(given.teacher, "tips", prompt))[:count]


async def _tips_at_once(given: ControlConditions, count: int) -> list[str]:
    teacher = given.teacher
    prompt = teacher.prompts.render(
        "tips/one_shot",
        task=given.task,
        problems=given.examples[:EXAMPLES],
        max_edits=count,
        max_words=teacher.config.max_words,
    )
    return _added(await ask_edits(teacher, "tips", prompt, max_edits=count))


async def _tips_each(given: ControlConditions, count: int) -> list[str]:
    """Ask for a tip at a time, twice as often as tips are wanted: some replies repeat, and some cannot be read."""
    teacher, texts = given.teacher, list[str]()
    for attempt in range(2 * count):
        if len(texts) == count:
            break
        prompt = teacher.prompts.render("tips/each", lessons=_numbered(texts))
        try:
            found = _added(await ask_edits(teacher, "tips", prompt, max_edits=1, attempt=attempt))
        except MalformedReply:
            continue
        texts += [text for text in found if text not in texts]
    return texts


def _added(parsed: ParsedEdits) -> list[str]:
    return [edit.text for edit in parsed.edits if edit.op is Op.ADD and edit.text]


def _numbered(texts: Sequence[str]) -> tuple[Lesson, ...]:
    return tuple(Lesson(number, text, 1, 1) for number, text in enumerate(texts, 1))


async def _best_of_n(given: ControlConditions, main: Evaluation) -> dict[str, Any]:
    empty = replace(given.library, lessons=())
    first = await measure.evaluate(given.actor, empty, given.problems, given.sampling, 1)
    unit, with_lessons, without = _spend(main, first)
    n = min(max(round(with_lessons / without), 1), MOST_ROLLOUTS) if without else 1
    tried = await measure.evaluate(given.actor, empty, given.problems, given.sampling, n)
    voted = Evaluation(tried.problems, tuple((majority_rollout(graded_K),) for graded_K in tried.graded_P_K))
    best = [max(rewards) for graded_K in tried.graded_P_K if (rewards := _scored(graded_K))]
    return measure.control_result(main, voted, given.seed) | {
        "n": n,
        "spend": {"unit": unit, "library": with_lessons, "control": n * without},
        "oracle": fmean(best) if best else None,
    }


def majority_rollout(graded_K: Sequence[Graded]) -> Graded:
    """Return the first rollout whose final answer is the commonest; failed rollouts have no vote."""
    votes = [normalise(final_answer(g.rollout.answer)) if g.rollout.failure is None else None for g in graded_K]
    count = Counter(vote for vote in votes if vote is not None)
    if not count:
        return graded_K[0]
    (winner, _), *_ = count.most_common(1)
    return graded_K[votes.index(winner)]


def _spend(main: Evaluation, other: Evaluation) -> tuple[str, float, float]:
    """Return the unit, and what one rollout costs on either side: money where both are known, else tokens."""
    sides = (_per_rollout(main), _per_rollout(other))
    if all(usd for _, usd in sides):
        return "usd", sides[0][1] or 0.0, sides[1][1] or 0.0
    return "tokens", sides[0][0], sides[1][0]


def _per_rollout(found: Evaluation) -> tuple[float, float | None]:
    rollouts = [g.rollout for graded_K in found.graded_P_K for g in graded_K]
    usage = sum((r.usage for r in rollouts), Usage())
    tokens = (usage.prompt_tokens + usage.completion_tokens) / len(rollouts)
    return tokens, None if usage.usd is None else usage.usd / len(rollouts)


def _scored(graded_K: Sequence[Graded]) -> list[float]:
    return [g.reward for g in graded_K if not math.isnan(g.reward)]
