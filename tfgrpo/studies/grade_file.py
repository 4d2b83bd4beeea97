"""Grading without rollouts: a file of answers that are there already, and a grader put to the test itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from experience_db import Store
from tfgrpo.backends.base import close
from tfgrpo.backends.endpoints import require_prices
from tfgrpo.backends.limited import Budget, Ledger
from tfgrpo.backends.metered import Tally, total_usage
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.config import LearnConfig, default_db
from tfgrpo.datasets.rows import file_rows
from tfgrpo.errors import BadRow, UsageError
from tfgrpo.evaluation.measure import SOLVED
from tfgrpo.executors import Local
from tfgrpo.graders import Grader, grade
from tfgrpo.graders.factory import grader_for, judge_connection_for, self_test_judges
from tfgrpo.graders.self_test import Suspicion, suspicion
from tfgrpo.prompting import templates
from tfgrpo.types import Problem, Rollout, Usage

AT_ONCE = 16


@asynccontextmanager
async def open_grader(
    grader: Any,
    config: LearnConfig = LearnConfig(),
    db: Path | None = None,
    prompts_dir: Path | None = None,
    tally: dict[str, Tally] | None = None,
) -> AsyncIterator[tuple[Grader, str]]:
    """Give a grader and its name; a database is opened only for one that asks a model, for its journal.

    Raises:
        UnknownPlugin: no grader of that name.
        UsageError: its options or its model do not fit.
    """
    found, name = grader_for(grader, config.grader)
    engine, budget = config.engine, config.budget
    way = judge_connection_for(found, config.grader, engine)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(close, found)
        if way is not None:
            for backend in way.endpoints.backends:
                stack.push_async_callback(close, backend)
            require_prices(budget, [way.endpoints])
            found = way.with_model(
                found,
                prompts=templates.load(override=prompts_dir),
                store=stack.enter_context(Store.open(db or default_db())),
                policy=RetryPolicy(attempts=engine.attempts),
                ledger=Ledger(Budget(budget.calls, budget.tokens, budget.usd, budget.seconds)),
                tally={} if tally is None else tally,
            )
        yield found, name


async def grade_file(
    file: str | Path,
    grader: Any,
    config: LearnConfig = LearnConfig(),
    db: Path | None = None,
    prompts_dir: Path | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Grade answers that are already there; returns the rows with `score` and `why`, and the summary of `grade --json`.

    Rows have `answer` or `gold`, and `response` or `pred`. A boolean `equal` in the rows adds a confusion table, named
    scores come as `parts`, and a grader that asks a model adds its `calls` and `usage`.

    Raises:
        BadRow: a row without reference or answer; nothing was graded.
        UsageError: no such file, no rows, no such grader.
        NothingLearned: a judge cannot decide known pairs.
    """
    grader_for(grader, config.grader)
    if not Path(file).exists():
        raise UsageError(f"no file {str(file)!r}; give a .jsonl or .csv file of answers")
    given = [(row, *_graded_row(where, row)) for where, row in file_rows(Path(file))]
    if not given:
        raise UsageError(f"{file} holds no rows; expected one answer a line")
    tally: dict[str, Tally] = {}
    async with open_grader(grader, config, db, prompts_dir, tally) as (judge, name):
        await self_test_judges(judge)
        jobs = [partial(grade, judge, problem, (rollout,), name) for _, problem, rollout in given]
        scores = [score for (score,) in await Local().run(jobs, limit=AT_ONCE)]
    rows = []
    confusion = dict.fromkeys(("true_positive", "false_positive", "true_negative", "false_negative", "unscored"), 0)
    for (row, _, _), score in zip(given, scores, strict=True):
        parts = {"parts": {part.name: part.value for part in score.parts}} if score.parts else {}
        why = score.failure.message if score.failure else score.why
        rows.append({**row, "score": score.value, "why": why, **parts})
        if isinstance(row.get("equal"), bool):
            confusion[_cell(row["equal"], score.value)] += 1
    return rows, _summary(rows, confusion, tally)


def _summary(rows: list[dict[str, Any]], confusion: Mapping[str, int], tally: Mapping[str, Tally]) -> dict[str, Any]:
    values = [row["score"] for row in rows if row["score"] is not None]
    summary: dict[str, Any] = {
        "rows": len(rows),
        "graded": len(values),
        "correct": sum(v >= SOLVED for v in values),
        "mean": sum(values) / len(values) if values else None,
        "failures": len(rows) - len(values),
    }
    if sum(confusion.values()):
        summary["confusion"] = dict(confusion)
    if tally:
        summary |= calls_and_usage(tally)
    return summary


def calls_and_usage(tally: Mapping[str, Tally]) -> dict[str, Any]:
    """Return calls by role and what they used, as `--json` prints them."""
    used: Usage = total_usage(tally)
    calls = {role: {"new": entry.new, "replayed": entry.replayed} for role, entry in tally.items()}
    usage = {"prompt_tokens": used.prompt_tokens, "completion_tokens": used.completion_tokens, "usd": used.usd}
    return {"calls": calls, "usage": usage}


async def measure_suspicion(
    grader: Any, config: LearnConfig = LearnConfig(), db: Path | None = None, prompts_dir: Path | None = None
) -> tuple[Suspicion, dict[str, Any]]:
    """Put a grader to the test: how often it accepts answers that only pretend, and refuses right ones.

    Raises:
        UnknownPlugin: no such grader.
        UsageError: its options or its model do not fit.
    """
    tally: dict[str, Tally] = {}
    async with open_grader(grader, config, db, prompts_dir, tally) as (judge, _):
        found = await suspicion(judge, by_rubric=bool(config.grader.rubric))
    return found, calls_and_usage(tally) if tally else {}


def _graded_row(where: str, row: Mapping[str, Any]) -> tuple[Problem, Rollout]:
    reference = next((row[k] for k in ("answer", "gold") if row.get(k) is not None), None)
    said = next((row[k] for k in ("response", "pred") if row.get(k) is not None), None)
    if reference is None or said is None:
        lacks = "answer (or gold)" if reference is None else "response (or pred)"
        raise BadRow(f"{where}: no {lacks}; each row needs the reference and what was said")
    identity = str(row.get("id", where))
    own = row.get("metadata")
    metadata = {**row, **own} if isinstance(own, Mapping) else row
    return Problem(identity, str(row.get("question", "")), str(reference), metadata), Rollout(
        identity, 0, answer=str(said)
    )


def _cell(equal: bool, value: float | None) -> str:
    if value is None:
        return "unscored"
    right = value >= SOLVED
    if right:
        return "true_positive" if equal else "false_positive"
    return "false_negative" if equal else "true_negative"
