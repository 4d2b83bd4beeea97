"""The summarizer as an agent: it reads attempts, searches the library, has answers graded and tries lessons.

One conversation a batch, bounded in turns, tokens and tries. Its calls are journaled like all others, and so is every
try, so that a repeated run meets the same conversation and pays nothing. A tool can only read and measure: what comes
out is edits like any other, with the same checks in code, the same scanners and the same gate behind them.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from experience_db import Library
from tfgrpo.boundary import failure_of
from tfgrpo.datasets.content_words import words
from tfgrpo.environments.tool_calling import CallResult, FunctionCalling
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.lessons.request_edits import usable
from tfgrpo.lessons.summarize import Contrast, Effects, checked_over, lesson_variables, refused_lines
from tfgrpo.lessons.teacher import Teacher
from tfgrpo.prompting.transcript import cut_to_tokens, transcript
from tfgrpo.replies import parse_edits
from tfgrpo.tools import ToolSpec
from tfgrpo.tools.arguments import read_arguments
from tfgrpo.types import Group, Message, Problem, Request, Verdict

SHOWN = 300
"""Tokens of a problem in the list; `read_rollout` shows all of it."""
RESULT = 1500
"""Tokens of one tool result."""


@dataclass(frozen=True, slots=True)
class Desk:
    """What the agent's tools may have measured."""

    grade: Callable[[Problem, str], Awaitable[str]]
    """What the grader says of an answer to a problem."""
    attempt: Callable[[Problem, str, int], Awaitable[str]]
    """One new rollout of a problem with a lesson added, the so-manieth of the batch: its reward and its end."""


def _schema(**named: str) -> dict[str, Any]:
    kinds = {name: {"type": kind} for name, kind in named.items()}
    return {"type": "object", "properties": kinds, "required": list(kinds), "additionalProperties": False}


TOOLS = (
    ToolSpec(
        "read_rollout",
        "Read one attempt at a problem, with its reward and what the grader said.",
        _schema(problem="integer", attempt="integer"),
    ),
    ToolSpec("search_lessons", "Find lessons of the library that have any of these words.", _schema(words="string")),
    ToolSpec("grade", "Have an answer to a problem graded.", _schema(problem="integer", answer="string")),
    ToolSpec(
        "try_lesson",
        "Let the solver attempt a problem once with this lesson added to its library.",
        _schema(problem="integer", lesson="string"),
    ),
)


@dataclass(slots=True)
class _Session:
    """One conversation, and what it has used up."""

    teacher: Teacher
    groups: Sequence[Group]
    library: Library
    desk: Desk
    messages: list[Message]
    taken: set[str] = field(default_factory=set)
    tokens: int = 0
    tries: int = 0


async def investigate(
    teacher: Teacher,
    groups: Sequence[Group],
    library: Library,
    desk: Desk,
    rejected: Sequence[Verdict],
    effects: Effects,
    step: int,
) -> Contrast:
    """Return the edits that the agent proposes for a batch; what ends its conversation is returned as a failure.

    Raises:
        EndpointError: the endpoint refuses every call.
    """
    config = teacher.config
    rewards = [", ".join("failed" if r != r else f"{r:.2f}" for r in g.rewards_G) for g in groups]  # noqa: PLR0124 - nan
    prompt = teacher.prompts.render(
        "propose/agent",
        groups=[
            {"number": i, "question": cut_to_tokens(g.problem.question, SHOWN), "rewards": told}
            for i, (g, told) in enumerate(zip(groups, rewards, strict=True), 1)
        ],
        lessons=lesson_variables(library, effects),
        rejected=refused_lines(rejected),
        max_edits=config.per_group * len(groups),
        max_words=config.max_words,
        turns=config.turns,
        tries=config.tries,
    )
    session = _Session(teacher, groups, library, desk, [{"role": "user", "content": prompt}])
    try:
        text = await _converse(session)
        parsed = usable(parse_edits(text, max_edits=config.per_group * len(groups)), teacher.prompts)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return Contrast(failures=(failure_of(error),))
    return checked_over(teacher, groups, library, parsed, (teacher.prompts.hash("propose/agent"), step, rejected))


async def _converse(session: _Session) -> str:
    """Let the agent call tools until it answers, or until turns or tokens are used up; return its answer."""
    teacher, speech = session.teacher, FunctionCalling(TOOLS)
    for turn in range(teacher.config.turns):
        spent = (
            "tokens" if session.tokens >= teacher.config.agent_tokens
            else "turns" if turn == teacher.config.turns - 1
            else ""
        )  # fmt: skip
        if spent:
            session.messages.append({"role": "user", "content": teacher.prompts.render("propose/last", reason=spent)})
        offered = () if spent else speech.tools()
        request = Request("agent", teacher.model, tuple(session.messages), teacher.sampling, tools=offered)
        reply = await teacher.backend.complete(request)
        session.tokens += reply.usage.prompt_tokens + reply.usage.completion_tokens
        calls = () if spent else speech.calls(reply, session.taken)
        if not calls:
            return reply.text
        session.messages.append(speech.said(reply, calls))
        told = [CallResult(call, await _called(session, call.name, call.arguments)) for call in calls]
        session.messages += speech.results(teacher.prompts, told)
    raise AssertionError("the last turn returns")


async def _called(session: _Session, name: str, text: str) -> str:
    """Return what a call gives as fenced material; a call that cannot be made is told in words, and costs a turn."""
    spec = next((tool for tool in TOOLS if tool.name == name), None)
    if spec is None:
        return f"There is no tool {name[:40]!r}; the tools are: {', '.join(tool.name for tool in TOOLS)}."
    arguments, fault = read_arguments(text, spec.parameters)
    number = arguments.get("problem", 1)
    if not fault and not 1 <= number <= len(session.groups):
        fault = f"the problems are numbered 1 to {len(session.groups)}"
    if fault:
        return f"The call was not made: {fault}."
    found = await _DO[name](session, session.groups[number - 1], arguments)
    return session.teacher.prompts.render("propose/result", text=cut_to_tokens(found, RESULT), tool=name)


async def _read(session: _Session, group: Group, given: Mapping[str, Any]) -> str:
    place = given["attempt"] - 1
    if not 0 <= place < len(group.rollouts_G):
        return f"the attempts are numbered 1 to {len(group.rollouts_G)}"
    rollout, score = group.rollouts_G[place], group.scores_G[place]
    said = transcript(rollout.messages, tokens=RESULT) or rollout.answer
    told = {"problem": group.problem.question, "reward": group.rewards_G[place], "grader": score.why}
    if session.teacher.config.ground_truth:
        told["reference"] = group.problem.answer or ""
    return f"{json.dumps({k: str(v) for k, v in told.items()}, ensure_ascii=False)}\n{said}"


async def _search(session: _Session, group: Group, given: Mapping[str, Any]) -> str:
    wanted = words(given["words"])
    found = [f"[{x.id}] {x.text}" for x in session.library if wanted & words(x.text)]
    return "\n".join(found) or "no lesson has any of these words"


async def _grade(session: _Session, group: Group, given: Mapping[str, Any]) -> str:
    return await session.desk.grade(group.problem, given["answer"])


async def _try(session: _Session, group: Group, given: Mapping[str, Any]) -> str:
    if session.tries >= session.teacher.config.tries:
        return f"all {session.tries} tries are used up"
    session.tries += 1
    return await session.desk.attempt(group.problem, given["lesson"], session.tries)


_DO: Mapping[str, Callable[[_Session, Group, Mapping[str, Any]], Awaitable[str]]] = {
    "read_rollout": _read,
    "search_lessons": _search,
    "grade": _grade,
    "try_lesson": _try,
}
