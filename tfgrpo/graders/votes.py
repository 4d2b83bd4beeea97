"""How graders ask a model: votes that are parsed or failed, within the journal, limits and budget of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from tfgrpo.backends.base import Backend
from tfgrpo.boundary import failure_of
from tfgrpo.config.grader import GraderConfig
from tfgrpo.errors import BudgetReached, EndpointError, MalformedReply, ProviderError
from tfgrpo.executors import Executor
from tfgrpo.graders.base import Grader
from tfgrpo.prompting.templates import Prompts
from tfgrpo.types import Failure, Message, Request, Sampling

T = TypeVar("T")
NEEDS = "needs a model of its own; name one with -s grader.model=openai/NAME, or under [grader] in the file of --config"
ROLE = "judge"
CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class JudgeModel:
    """The model that judges, and how it is reached."""

    backend: Backend
    model: str
    prompts: Prompts
    executor: Executor


@runtime_checkable
class NeedsModel(Protocol):
    """A grader that may ask a model; it comes without one and is given it when a run starts."""

    @property
    def asks(self) -> bool:
        """Whether it will ask at all."""
        ...

    def with_model(self, judge_model: JudgeModel) -> Grader:
        """Return the same grader with its model."""
        ...


@dataclass(frozen=True, slots=True)
class Question(Generic[T]):
    """One prompt for the judge, and how its replies are read."""

    prompt: str
    schema: Mapping[str, Any]
    read: Callable[[str], T]
    """Raises MalformedReply; such a reply is asked for once more with the fault quoted."""
    sampling: Sampling = Sampling()
    otherwise: Callable[[MalformedReply], T | None] | None = None
    """What a second reply that cannot be read stands for; None where it is a failure."""


async def ask(judge_model: JudgeModel, question: Question[T], attempts: Sequence[int]) -> list[T | Failure]:
    """Return one parsed reply, or its failure, for each attempt index.

    Raises:
        EndpointError: the judge's endpoint can never answer.
    """
    return await judge_model.executor.run([partial(_one, judge_model, question, attempt) for attempt in attempts])


async def _one(judge_model: JudgeModel, question: Question[T], attempt: int) -> T | Failure:
    first: Message = {"role": "user", "content": question.prompt}
    request = Request(
        ROLE, judge_model.model, (first,), question.sampling, response_schema=question.schema, attempt=attempt
    )
    try:
        reply = await judge_model.backend.complete(request)
        try:
            return question.read(reply.text)
        except MalformedReply as error:
            again = judge_model.prompts.render("repair", error=str(error), reply=reply.text)
            said: tuple[Message, ...] = (
                {"role": "assistant", "content": reply.text},
                {"role": "user", "content": again},
            )
            second = await judge_model.backend.complete(replace(request, messages=(first, *said)))
            return _second(question, second.text)
    except EndpointError:
        raise
    except (ProviderError, MalformedReply, BudgetReached) as error:
        return failure_of(error)


def _second(question: Question[T], text: str) -> T:
    """The reply to the repeated question."""
    try:
        return question.read(text)
    except MalformedReply as error:
        meant = question.otherwise(error) if question.otherwise else None
        if meant is None:
            raise
        return meant


def sampling(config: GraderConfig) -> Sampling:
    """How a judge's replies are drawn: at 0, unless several votes are to differ."""
    drawn = config.temperature
    if drawn is None:
        drawn = 0.0 if config.votes == 1 else 0.7
    return Sampling(temperature=drawn, max_tokens=config.max_tokens)


def shortened(text: str, tokens: int) -> str:
    """Cut the middle out of a text that is longer than `tokens`, and say so."""
    room = tokens * CHARS_PER_TOKEN
    if len(text) <= room:
        return text
    half = room // 2
    return f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
