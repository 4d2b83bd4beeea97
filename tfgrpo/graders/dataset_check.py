"""Whether a dataset and a grader go together: found before any model is asked, by grading each reference as an answer.

A grader that compares must at least find a reference right against itself. What it cannot read it would leave unscored
in every rollout, and the run would spend for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tfgrpo.config.grader import GraderConfig
from tfgrpo.datasets.proposal import is_label_set
from tfgrpo.errors import UsageError
from tfgrpo.graders.base import Grader, reference_of
from tfgrpo.graders.factory import grader_for
from tfgrpo.types import Problem, Rollout

COMPARING = ("exact", "numeric", "choice", "math", "web_qa")
"""Graders that need a reference."""
READING = ("exact", "numeric", "choice", "math")
"""Those of them that can be tried without a model."""
MOST = 64
"""References that are tried: all of a small set, of a large one some from all over."""
SHOWN = 3
PART = 0.5
"""Part of a dataset that may lack a reference, or hold one that cannot be read."""


async def require_fit(problems: Sequence[Problem], grader: object, source: str) -> None:
    """Refuse a dataset whose references a built-in grader cannot use; other graders know best themselves.

    Args:
        problems: all that will be graded.
        grader: as it was asked for: its name, or anything else, which passes.
        source: what the dataset is called in messages.

    Raises:
        UsageError: half of the references or more are missing or cannot be read; says the columns and the remedy.
    """
    if not isinstance(grader, str) or grader not in COMPARING or not problems:
        return
    answered = [problem for problem in problems if reference_of(problem) is not None]
    missing = len(problems) - len(answered)
    if missing >= len(problems) * PART:
        raise UsageError(_without(problems, missing, grader, source))
    if grader not in READING:
        return
    step = max(1, len(answered) // MOST)
    tried = answered[::step][:MOST]
    made, _ = grader_for(grader)
    unread = [(problem, why) for problem in tried if (why := await _unreadable(made, problem))]
    if len(unread) >= len(tried) * PART:
        raise UsageError(_unfit(unread, len(tried), grader, source))


async def _unreadable(grader: Grader, problem: Problem) -> str:
    """Return why a grader cannot find the reference right against itself; '' when it does."""
    answer = reference_of(problem) or ""
    rollout = Rollout(problem.id, 0, ({"role": "user", "content": problem.question},), answer, "stop")
    (score,) = await grader(problem, [rollout])
    if score.value is not None:
        return "" if score.value > 0 else "it does not match even itself"
    return score.failure.message if score.failure else "it stays unscored"


def with_labels(config: GraderConfig, problems: Sequence[Problem], grader: object) -> GraderConfig:
    """Return the grader's table with the label set of a dataset, where `exact` compares with labels that recur.

    Then a label that stands in a sentence is found; `grader.options.labels = []` keeps to the whole answer.
    """
    texts = [reference for problem in problems if (reference := reference_of(problem))]
    if grader != "exact" or config.options or len(texts) < len(problems) or not is_label_set(texts):
        return config
    labels = sorted(set(texts))
    if not all(sum(map(str.isalpha, label)) > 1 for label in labels):
        return config
    return replace(config, options={"labels": labels})


def _without(problems: Sequence[Problem], missing: int, grader: str, source: str) -> str:
    columns = list(dict.fromkeys(name for problem in problems[:100] for name in problem.metadata))
    has = f"; its other columns are {', '.join(columns[:10])}" if columns else ""
    guess = next(iter(sorted(columns, key=lambda name: _likely(name, problems))), "")
    field = f"--field answer={guess}" if guess else "add a column `answer`"
    how = "none" if missing == len(problems) else f"only {len(problems) - missing}"
    rows = f"{how} of the {len(problems)} rows of {source} {'have' if missing < len(problems) - 1 else 'has'} one"
    told = f"the grader {grader!r} compares with a reference, and {rows}"
    remedy = f"name its column ({field}), leave the rows without one out, or grade without a reference (--grader judge)"
    return f"{told}{has}; {remedy}"


def _likely(column: str, problems: Sequence[Problem]) -> tuple[bool, int]:
    """Sort columns that may hold a reference first: texts that recur, or are at least short."""
    values = [str(p.metadata[column]) for p in problems[:100] if p.metadata.get(column) is not None]
    return len(set(values)) in {0, 1}, len(set(values)) + sum(map(len, values)) // max(1, len(values))


def _unfit(unread: Sequence[tuple[Problem, str]], tried: int, grader: str, source: str) -> str:
    shown = "; ".join(f"{reference_of(problem)!r}: {why}" for problem, why in unread[:SHOWN])
    others = " or ".join(name for name in ("exact", "judge") if name != grader)
    return (
        f"the grader {grader!r} cannot use {len(unread)} of {tried} references of {source} ({shown}); "
        f"take --grader {others}, or look at the file: tfgrpo datasets show {source}"
    )
