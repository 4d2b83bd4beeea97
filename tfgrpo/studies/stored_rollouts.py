"""Groups out of what is stored already: traces of other tools, and sessions of an app. No rollout is paid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from experience_db import SessionRecord, Store
from tfgrpo.config import LearnConfig
from tfgrpo.methods.method import form_group
from tfgrpo.readers import Row, Stored
from tfgrpo.sessions.similar_tasks import SimilarTasks
from tfgrpo.types import Failure, FailureKind, Group, GroupStatus, Message, Problem, Rollout, Score

MOST = 8
"""Rollouts of a group that are shown: half of them the best, half the worst, of each the newest."""
STRANGERS = frozenset({"claude-code", "codex", "otel", "langfuse", "weave"})
"""Formats whose texts come from wherever an agent has been."""
TOOL_ROLES = frozenset({"tool", "function"})


def groups_of_traces(stored: Stored, config: LearnConfig, version: int) -> tuple[Group, ...]:
    """Return a group for each item that was attempted more than once with different scores, in the order of the file.

    Attempts of all arms of an item are one group. What has no score takes no part, and never counts as wrong.
    """
    strange = bool(STRANGERS.intersection(stored.formats))
    items: dict[str, list[tuple[Rollout, Score, str, str | None]]] = {}
    for row in stored.rows:
        many = items.setdefault(row.id, [])
        many.append((_rollout(row, len(many), strange), _score(row), row.question, row.answer))
    groups = []
    for name, many in items.items():
        question = next((q for _, _, q, _ in many if q), name)
        answer = next((a for *_, a in many if a is not None), None)
        groups.append(_group(Problem(name, question, answer), [(r, s) for r, s, *_ in many], config, version))
    return _teaching(groups)


def groups_of_sessions(store: Store, name: str, config: LearnConfig) -> tuple[Group, ...]:
    """Return a group for each kind of task whose sessions ended differently; its weight is how many there are."""
    tasks = SimilarTasks()
    kinds: dict[str, list[SessionRecord]] = {}
    for session in store.sessions(name):
        kind = tasks.group(session.task)
        if session.reward is not None and kind:
            kinds.setdefault(kind, []).append(session)
    version = store.library(name).version
    groups = []
    for kind, sessions in kinds.items():
        chosen = _chosen(sessions)
        pairs = [(_attempt(store, s, i, kind), Score(s.reward, s.feedback, "report")) for i, s in enumerate(chosen)]
        group = _group(Problem(kind, chosen[0].task), pairs, config, version)
        groups.append(replace(group, weight=float(len(sessions))))
    return _teaching(groups)


def _chosen(sessions: Sequence[SessionRecord]) -> list[SessionRecord]:
    """Return the newest of the best and of the worst, of each user one, in the order in which they began."""
    newest, users = [], set[str]()
    for session in reversed(sessions):
        if not session.user or session.user not in users:
            newest.append(session)
            users.add(session.user)
    best = sorted(newest, key=lambda s: -(s.reward or 0.0))[: MOST // 2]
    worst = sorted(newest, key=lambda s: s.reward or 0.0)[: MOST // 2]
    return sorted({s.id: s for s in (*best, *worst)}.values(), key=lambda s: s.created)


def _teaching(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(group for group in groups if group.status is GroupStatus.KEPT)


def _group(problem: Problem, pairs: Sequence[tuple[Rollout, Score]], config: LearnConfig, version: int) -> Group:
    scored = [pair for pair in pairs if pair[1].value is not None]
    if len(scored) > MOST:
        order = sorted(scored, key=lambda pair: cast("float", pair[1].value))
        kept = {id(pair) for pair in (*order[: MOST // 2], *order[-(MOST // 2) :])}
        scored = [pair for pair in scored if id(pair) in kept]
    return form_group(problem, tuple(r for r, _ in scored), tuple(s for _, s in scored), version, config)


def _rollout(row: Row, index: int, strange: bool) -> Rollout:
    said = row.messages or tuple(
        {"role": role, "content": text} for role, text in (("user", row.question), ("assistant", row.text)) if text
    )
    tainted = strange or any(m.get("role") in TOOL_ROLES for m in said)
    failure = Failure(FailureKind.ENVIRONMENT, row.failure) if row.failure else None
    return Rollout(row.id, index, _messages(said), row.text, "stop", failure=failure, tainted=tainted)


def _score(row: Row) -> Score:
    value = None if row.score is None or math.isnan(row.score) else row.score
    return Score(value, row.failure, "stored")


def _attempt(store: Store, session: SessionRecord, index: int, kind: str) -> Rollout:
    said = [message for turn in store.turns(session.id) for message in turn.messages]
    answers = [str(m.get("content") or "") for m in said if m.get("role") == "assistant"]
    answer = answers[-1] if answers else ""
    return Rollout(kind, index, _messages(said), answer, "stop", tainted=session.tainted)


def _messages(said: Iterable[Any]) -> tuple[Message, ...]:
    return tuple(cast("Message", dict(message)) for message in said)
