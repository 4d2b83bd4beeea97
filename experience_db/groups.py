"""Groups as they were rolled out: each rollout with its scores, reward and advantage, written in bulk."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from experience_db.codec import to_json
from experience_db.database import Database
from experience_db.texts import Texts

_ROLLOUT = (
    "INSERT INTO rollouts (group_id, rollout, answer, reward, advantage, failure_kind, failure_message, finish_reason,"
    " tainted, prompt_tokens, completion_tokens, cached_tokens, usd, seconds, messages, more)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_SCORE = (
    "INSERT INTO scores (rollout_id, position, grader, score, why, failure_kind, failure_message)"
    " VALUES (?, ?, ?, ?, ?, ?, ?)"
)
_COLUMNS = frozenset({"index", "answer", "failure", "finish_reason", "tainted", "usage", "seconds", "messages"})

Scores = Sequence[Mapping[str, Any] | Sequence[Mapping[str, Any]]]
"""For each rollout its score, or the scores of several graders: `value`, `name`, `why`, `failure`."""


class Groups(Database):
    """The part of the store that keeps groups."""

    @cached_property
    def _texts(self) -> Texts:
        return Texts(self)

    def record_group(  # noqa: PLR0913  a group has that many parts
        self,
        run: str,
        step: int,
        *,
        problem: Mapping[str, Any],
        status: str,
        version: int,
        rollouts: Sequence[Mapping[str, Any]],
        scores: Scores = (),
        rewards: Sequence[float | None] = (),
        advantages: Sequence[float | None] = (),
    ) -> int:
        """Record one group; the same problem of the same step again replaces it. Returns its row id.

        Args:
            run: A started run.
            step: Index of the step.
            problem: `id` and whatever else the problem has.
            status: `kept`, `flat`, `failed`, `filtered`, ...
            version: The library version that the rollouts saw.
            rollouts: G mappings as `dataclasses.asdict(Rollout)` makes them; unknown keys are kept too.
            scores: G entries, or none.
            rewards: G numbers, or none; nan is kept as unknown.
            advantages: G numbers, or none.

        Raises ValueError when the lengths differ, UnknownRun.
        """
        for given in (scores, rewards, advantages):
            if len(given) not in {0, len(rollouts)}:
                raise ValueError(f"{len(rollouts)} rollouts, but {len(given)} values for them; give one for each")
        with self.atomic():
            where = (run, step, str(problem["id"]))
            self._write("DELETE FROM groups WHERE run = ? AND step = ? AND problem_id = ?", *where)
            group = self._insert(
                "groups", run=run, step=step, problem_id=where[2], problem=to_json(problem), status=str(status),
                version=version, created=self.clock(),
            )  # fmt: skip
            score_rows = []
            for i, rollout in enumerate(rollouts):
                reward, advantage = (_number(given[i]) if given else None for given in (rewards, advantages))
                row = self._write(_ROLLOUT, *_rollout_row(group, i, rollout, reward, advantage, self._texts)).lastrowid
                score_rows += _score_rows(row, scores[i]) if scores else []
            self._write_many(_SCORE, score_rows)
            return group

    def groups(self, run: str, step: int | None = None) -> tuple[dict[str, Any], ...]:
        """The groups of a run, or of one step, in the order they were recorded; JSON-able.

        Each has `step`, `problem`, `status`, `version`, `rollouts` (as they were given), `scores` (a list for each
        rollout), `rewards` and `advantages` (None where unknown).
        """
        rows = self._rows(
            "SELECT * FROM groups WHERE run = ?1 AND (?2 IS NULL OR step = ?2) ORDER BY step, id", run, step
        )
        return tuple(map(self._group, rows))

    def group(self, run: str, step: int, problem_id: str) -> dict[str, Any] | None:
        """One group of a run as `groups` tells it; None where there is none."""
        row = self._row("SELECT * FROM groups WHERE run = ? AND step = ? AND problem_id = ?", run, step, problem_id)
        return None if row is None else self._group(row)

    def problems(self, run: str) -> tuple[dict[str, Any], ...]:
        """The problems that a run has attempted in groups, each once, in the order they were first recorded."""
        rows = self._rows("SELECT problem FROM groups WHERE run = ? GROUP BY problem_id ORDER BY min(id)", run)
        return tuple(json.loads(row["problem"]) for row in rows)

    def _group(self, row: sqlite3.Row) -> dict[str, Any]:
        rollouts = self._rows("SELECT * FROM rollouts WHERE group_id = ? ORDER BY rollout", row["id"])
        scores = self._rows(
            "SELECT scores.* FROM scores JOIN rollouts ON rollouts.id = rollout_id WHERE group_id = ?"
            " ORDER BY rollout, position",
            row["id"],
        )
        said = iter(self._texts.from_json([rollout[name] for rollout in rollouts for name in ("messages", "more")]))
        answers = iter(self._texts.from_columns([rollout["answer"] for rollout in rollouts]))
        scores_of: dict[int, list[dict[str, Any]]] = {rollout["id"]: [] for rollout in rollouts}
        for score in scores:
            kept = {"value": score["score"], "why": score["why"], "name": score["grader"], "failure": _failure(score)}
            scores_of[score["rollout_id"]].append(kept)
        return {
            "step": row["step"],
            "problem": json.loads(row["problem"]),
            "status": row["status"],
            "version": row["version"],
            "rollouts": [_rollout_of(rollout, next(said), next(said), next(answers)) for rollout in rollouts],
            "scores": list(scores_of.values()),
            "rewards": [rollout["reward"] for rollout in rollouts],
            "advantages": [rollout["advantage"] for rollout in rollouts],
        }


def _rollout_row(
    group: int,
    position: int,
    rollout: Mapping[str, Any],
    reward: float | None,
    advantage: float | None,
    texts: Texts,
) -> tuple[Any, ...]:
    failure = rollout.get("failure") or {}
    usage = rollout.get("usage") or {}
    more = {key: value for key, value in rollout.items() if key not in _COLUMNS}
    return (
        group,
        rollout.get("index", position),
        texts.to_column(rollout.get("answer") or ""),
        reward,
        advantage,
        failure.get("kind"),
        failure.get("message"),
        rollout.get("finish_reason") or "",
        int(rollout.get("tainted", False)),
        usage.get("prompt_tokens", 0),
        usage.get("completion_tokens", 0),
        usage.get("cached_tokens", 0),
        usage.get("usd"),
        rollout.get("seconds", 0.0),
        texts.to_json(rollout.get("messages", ())),
        texts.to_json(more),
    )


def _rollout_of(row: sqlite3.Row, messages: Any, more: Mapping[str, Any], answer: str) -> dict[str, Any]:
    usage = {name: row[name] for name in ("prompt_tokens", "completion_tokens", "cached_tokens", "usd")}
    return {
        "index": row["rollout"],
        "messages": messages,
        "answer": answer,
        "finish_reason": row["finish_reason"],
        "usage": usage,
        "seconds": row["seconds"],
        "failure": _failure(row),
        "tainted": bool(row["tainted"]),
        **more,
    }


def _score_rows(
    rollout_id: int | None, scores: Mapping[str, Any] | Sequence[Mapping[str, Any]]
) -> list[tuple[Any, ...]]:
    many = [scores] if isinstance(scores, Mapping) else scores
    rows = []
    for position, score in enumerate(many):
        failure = score.get("failure") or {}
        why, name = score.get("why", ""), score.get("name", "")
        value = _number(score.get("value"))
        rows.append((rollout_id, position, name, value, why, failure.get("kind"), failure.get("message")))
    return rows


def _failure(row: sqlite3.Row) -> dict[str, str] | None:
    return None if row["failure_kind"] is None else {"kind": row["failure_kind"], "message": row["failure_message"]}


def _number(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else float(value)
