"""Scoring a rollout of several turns: each reply after what came before it, and nothing but what the model wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from experience_db import Lesson, Library
from tfgrpo.edit_scores.teacher_forced import Likelihood, RendersPrompts, scored_replies
from tfgrpo.environments import SingleTurn
from tfgrpo.executors import Local
from tfgrpo.prompting.templates import load
from tfgrpo.types import Message, Problem, Reply, Rollout

PROBLEM = Problem("p", "how many?")
TAIL: tuple[Message, ...] = (
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
    {"role": "tool", "content": "forty", "tool_call_id": "c"},
    {"role": "assistant", "content": "40"},
)


@dataclass
class Recorder:
    """A scorer that says -1 for every token, and remembers what it was asked."""

    asked: list[tuple[tuple[Message, ...], tuple[int, ...], Any]] = field(default_factory=list)

    async def score(
        self, messages: Sequence[Message], completion_ids: Sequence[int], *, attempt: int = 0, tools: Any = ()
    ) -> tuple[float, ...]:
        """One value per token."""
        self.asked.append((tuple(messages), tuple(completion_ids), tools))
        return tuple(-float(token) for token in completion_ids)

    def token_texts(self, completion_ids: Sequence[int]) -> tuple[str, ...] | None:
        """A word per token, but nothing for token 9."""
        return None if 9 in completion_ids else tuple(f"w{token}" for token in completion_ids)


class Loop:
    """An environment with a tool whose prompt holds the library."""

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """One message."""
        return ({"role": "user", "content": f"{len(library.lessons)} lessons. {problem.question}"},)

    def offered(self, library) -> tuple[dict[str, Any], ...]:
        """One tool."""
        return ({"name": "look"},)


def rollout(**more: Any) -> Rollout:
    """A call, its result, and the answer, under a library of no lessons."""
    messages = (*Loop().prompt(PROBLEM, Library("x")), *TAIL)
    return Rollout("p", 0, messages, "40", reply=Reply("40", token_ids=(3,)), turn_ids=((1, 2), (3,)), **more)


async def test_every_reply_is_scored_after_what_came_before_it_under_the_library_in_question():
    """The prompt is rendered anew, tool output stands in the context and is never scored."""
    scorer = Recorder()
    library = Library("x", 1, lessons=(Lesson(1, "a", 1, 1),))
    (row,) = await Likelihood(scorer, Loop(), Local()).log_probs(library, [(PROBLEM, rollout())])
    assert row == (-1.0, -2.0, -3.0)
    (first, ids, tools), (second, more, _) = scorer.asked
    prompt = Loop().prompt(PROBLEM, library)
    assert (first, ids, tools) == (prompt, (1, 2), Loop().offered(Library("x")))
    assert (second, more) == ((*prompt, *TAIL[:2]), (3,))
    assert "1 lessons" in str(first[0]["content"])


@pytest.mark.parametrize(
    "changed",
    [
        {"notes": ("before reply 2: 1 older tool results shortened by 40 characters",)},
        {"turn_ids": ((1, 2),)},
        {"turn_ids": ()},
    ],
)
async def test_what_the_replies_saw_must_be_known(changed):
    """With shortened results, or ids of some replies only, a rollout is left out on both sides."""
    scorer = Recorder()
    found = await Likelihood(scorer, Loop(), Local()).log_probs(
        Library("x"), [(PROBLEM, replace(rollout(), **changed))]
    )
    assert list(found) == [()]
    assert scorer.asked == []


def test_tokens_of_all_turns_are_spelled_or_none():
    """Planning words are looked for in everything that the model wrote."""
    known = Likelihood(Recorder(), Loop(), Local())
    assert known.token_texts(rollout()) == ("w1", "w2", "w3")
    assert known.token_texts(replace(rollout(), turn_ids=((1, 2), (9,)))) is None
    assert known.token_texts(Rollout("p", 0)) is None


async def test_a_single_turn_is_scored_as_before():
    """One request with the prompt and the reply's ids, and no tools."""
    scorer, environment = Recorder(), SingleTurn(None, "m", load("default"))  # type: ignore[arg-type]
    assert isinstance(environment, RendersPrompts)
    messages = (*environment.prompt(PROBLEM, Library("x")), {"role": "assistant", "content": "40"})
    made = Rollout("p", 0, messages, "40", reply=Reply("40", token_ids=(5, 6)))
    assert scored_replies(made) == (((), (5, 6)),)
    (row,) = await Likelihood(scorer, environment, Local()).log_probs(Library("x"), [(PROBLEM, made)])
    assert row == (-5.0, -6.0)
    assert scorer.asked == [(environment.prompt(PROBLEM, Library("x")), (5, 6), ())]
