"""The model calls tools until it answers: parallel calls, a limit of turns and tokens, and a window that stays open.

A call that cannot be read is answered once with the fault; the next such reply ends the rollout as malformed. Reaching
the turn limit or the token budget is the model's own doing: it is asked for its answer, and what it says is graded.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from experience_db import Library
from experience_db.prompt_parts import INSTRUCTIONS, TOOL, apart
from tfgrpo.backends.base import Backend
from tfgrpo.config.rollout_environment import EnvironmentConfig
from tfgrpo.environments import context
from tfgrpo.environments.base import Slot
from tfgrpo.environments.conversation import Conversation
from tfgrpo.environments.tool_calling import CallResult, ToolProtocol
from tfgrpo.environments.tool_protocol import ToolProtocols
from tfgrpo.environments.tool_text import WrittenCall
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.executors import Local
from tfgrpo.prompting.templates import Prompts
from tfgrpo.prompting.transcript import cut_middle
from tfgrpo.tools import Tool
from tfgrpo.tools.arguments import read_arguments
from tfgrpo.tools.journaled import CallingRollout, JournaledTools, Session
from tfgrpo.types import Failure, FailureKind, Message, Problem, Reply, Request, Rollout, ToolCall

TRIES = 6
"""How often a prompt that does not fit is shortened."""
ABOUT_TOOLS = re.compile(r"\btools?\b|tool[_ -]?(use|choice|call)|function[_ -]?call", re.IGNORECASE)
"""How endpoints say that they take no tools."""


class ToolsRefused(Exception):
    """The endpoint takes no tools; internal, answered by speaking plain text."""


@dataclass(frozen=True, slots=True)
class ToolLoop:
    """Runs rollouts with tools."""

    backend: Backend
    model: str
    prompts: Prompts
    tools: tuple[Tool, ...]
    desk: JournaledTools
    protocols: ToolProtocols
    config: EnvironmentConfig
    instructions: str = ""

    async def __call__(self, problem: Problem, library: Library, slot: Slot) -> Rollout:
        """Return the rollout; raises EndpointError and BudgetReached, which end the run."""
        rollout = await self._in(await self.protocols.speech(), problem, library, slot)
        if rollout is None:
            rollout = await self._in(await self.protocols.speech(), problem, library, slot)
        assert rollout is not None, "the text protocol sends no tools that could be refused"
        return rollout

    async def _in(self, speech: ToolProtocol, problem: Problem, library: Library, slot: Slot) -> Rollout | None:
        """Run the rollout in one protocol; None when the endpoint turned out not to take it."""
        speech, library, instructions = self._parts(speech, library)
        conversation = Conversation(problem, slot, self._messages(speech, problem, library, instructions))
        place = CallingRollout(slot.role, (problem.id, problem.question), slot.index, slot.sampling.seed)
        session = Session(place)
        try:
            return await self._loop(speech, conversation, session)
        except ToolsRefused:
            return None
        except EndpointError:
            raise
        except ProviderError as error:
            return conversation.rollout(failure=error.failure)
        finally:
            self.protocols.left()
            await self.desk.end(self.tools, session)

    def messages(self, speech: ToolProtocol, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return the prompt: instructions and tools, then lessons, then the problem."""
        spoken, rest, instructions = self._parts(speech, library)
        return self._messages(spoken, problem, rest, instructions)

    def _parts(self, speech: ToolProtocol, library: Library) -> tuple[ToolProtocol, Library, str]:
        """Put lessons that stand for the instructions or for what a tool says of itself in their places."""
        rest, told = apart(library, (INSTRUCTIONS, *(f"{TOOL}{tool.spec.name}" for tool in self.tools)))
        described = {name.removeprefix(TOOL): words for name, words in told.items() if name.startswith(TOOL)}
        spoken = speech.described(described) if described else speech
        return spoken, rest, told.get(INSTRUCTIONS, self.instructions)

    def _messages(
        self, speech: ToolProtocol, problem: Problem, library: Library, instructions: str
    ) -> tuple[Message, ...]:
        system = speech.system(self.prompts, instructions)
        user: Message = {"role": "user", "content": self.prompts.render("solve/user", problem=problem)}
        plain = [{"role": "system", "content": system}, user] if system else [user]
        return tuple(cast("list[Message]", library.inject(plain)))

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return what comes before the first reply, under any library; for scoring stored rollouts."""
        return self.messages(self.protocols.way(), problem, library)

    def offered(self, library: Library) -> tuple[dict[str, Any], ...]:
        """Return the tools that a request names."""
        return self._parts(self.protocols.way(), library)[0].tools()

    async def _loop(self, speech: ToolProtocol, conversation: Conversation, session: Session) -> Rollout:
        for turn in range(self.config.max_turns):
            spent = self._spent(turn, conversation)
            if spent:
                conversation.add({"role": "user", "content": self.prompts.render("tools/last", reason=spent)})
            reply = await self._reply(speech, conversation)
            conversation.add_reply(reply)
            calls = speech.calls(reply, conversation.taken)
            if spent or not calls:
                conversation.add(speech.said(reply, calls))
                return _ended(self.model, conversation, reply, spent if calls else "")
            failure = await self._answer(speech, conversation, session, calls, turn)
            if failure:
                return conversation.rollout(failure=failure)
        raise AssertionError("the last turn returns")

    def _spent(self, turn: int, conversation: Conversation) -> str:
        """Say what is used up, so that this reply is the last: `turns`, `tokens`, or ''."""
        if self.config.tokens is not None and conversation.tokens >= self.config.tokens:
            return "tokens"
        return "turns" if turn and turn == self.config.max_turns - 1 else ""

    async def _reply(self, speech: ToolProtocol, conversation: Conversation) -> Reply:
        """Ask the model, with shorter old results where the prompt is too long."""
        conversation.make_room(self.config.context_tokens)
        sampling = replace(
            conversation.slot.seeded(conversation.problem), stop=(*conversation.slot.sampling.stop, *speech.stops)
        )
        for tries in range(TRIES):
            request = Request(
                conversation.slot.role,
                self.model,
                conversation.messages,
                sampling,
                tools=speech.tools(),
                attempt=conversation.slot.index,
            )
            refused = self.desk.refused(request)
            if refused is None:
                try:
                    reply = await self.backend.complete(request)
                except ProviderError as error:
                    refused = error
                else:
                    self.protocols.taken()
                    return reply
            said = str(refused)
            if context.TOO_LONG.search(said) and refused.failure.kind is FailureKind.REFUSED_REQUEST:
                self.desk.refuse(request, said)
                if tries < TRIES - 1 and conversation.shorten(context.conversation_length(conversation.messages) // 4):
                    continue
            elif not conversation.calls and speech.tools() and self._without_tools(said, refused):
                raise ToolsRefused from refused
            raise refused
        raise AssertionError("the last try raises or returns")

    def _without_tools(self, said: str, refused: ProviderError) -> bool:
        return bool(
            refused.failure.kind is FailureKind.REFUSED_REQUEST
            and ABOUT_TOOLS.search(said)
            and self.protocols.refused()
        )

    async def _answer(
        self,
        speech: ToolProtocol,
        conversation: Conversation,
        session: Session,
        calls: Sequence[WrittenCall],
        turn: int,
    ) -> Failure | None:
        """Make the calls side by side and add their results; the failure is a second reply that cannot be read."""
        jobs, broken = [], {}
        for call in calls:
            tool = next((t for t in self.tools if t.spec.name == call.name), None)
            arguments, fault = (
                read_arguments(call.arguments, tool.spec.parameters) if tool else ({}, _unknown(call, self.tools))
            )
            if tool is None or fault:
                if tool or not call.name:
                    broken[call.id] = fault
                jobs.append(partial(_refused, call, fault, turn))
                continue
            position = len(session.made)
            session.made.append((call.name, arguments))
            jobs.append(partial(self._call, tool, arguments, session, position, call, turn))
        made = await Local().run(jobs)
        conversation.calls += made
        conversation.add(speech.said(cast("Reply", conversation.reply), calls))
        most = self.config.result_tokens * context.CHARS_PER_TOKEN
        told = [CallResult(call, cut_middle(one.text, most)) for call, one in zip(calls, made, strict=True)]
        conversation.add_results(speech.results(self.prompts, told))
        again, conversation.malformed = conversation.malformed, bool(broken)
        if broken and again:
            fault = next(iter(broken.values()))
            return Failure(FailureKind.MALFORMED, f"{self.model} was told of a call that cannot be read, and: {fault}")
        return None

    async def _call(
        self, tool: Tool, arguments: object, session: Session, position: int, call: WrittenCall, turn: int
    ) -> ToolCall:
        called = await self.desk.call(tool, cast("dict[str, object]", arguments), session, position)
        result = called.result
        text = result.text or (result.failure.message if result.failure else "") or "(nothing)"
        return ToolCall(
            call.id,
            call.name,
            call.arguments,
            text,
            turn,
            result.failure,
            result.seconds,
            result.detail,
        )


async def _refused(call: WrittenCall, fault: str, turn: int) -> ToolCall:
    failure = Failure(FailureKind.MALFORMED, fault)
    return ToolCall(call.id, call.name, call.arguments, f"The call was not made: {fault}.", turn, failure)


def _unknown(call: WrittenCall, tools: Sequence[Tool]) -> str:
    names = ", ".join(tool.spec.name for tool in tools)
    if not call.name:
        return f"it is not JSON with a name and arguments; the tools are: {names}"
    return f"there is no tool {call.name!r}; the tools are: {names}"


def _ended(model: str, conversation: Conversation, reply: Reply, spent: str) -> Rollout:
    """Return the finished rollout; `spent` says what ran out while the model still wanted to call."""
    if spent:
        return conversation.rollout("turn_limit" if spent == "turns" else "token_budget")
    if not reply.text.strip():
        return conversation.rollout(
            failure=Failure(FailureKind.EMPTY, f"{model} returned no text for {conversation.problem.id}")
        )
    return conversation.rollout()
