"""One prompt, one reply: instructions, then the library, then the problem."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

from experience_db import Library
from experience_db.prompt_parts import INSTRUCTIONS, apart
from tfgrpo.backends.base import Backend
from tfgrpo.environments.base import Slot
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.prompting.templates import Prompts
from tfgrpo.types import Failure, FailureKind, Message, Problem, Request, Rollout


@dataclass(frozen=True, slots=True)
class SingleTurn:
    """Asks the model once per rollout."""

    backend: Backend
    model: str
    prompts: Prompts
    instructions: str = ""

    async def __call__(self, problem: Problem, library: Library, slot: Slot) -> Rollout:
        """Return the rollout; raises EndpointError and BudgetReached, which end the run."""
        messages = self.messages(problem, library)
        request = Request(slot.role, self.model, messages, slot.seeded(problem), attempt=slot.index)
        started = time.perf_counter()
        try:
            reply = await self.backend.complete(request)
        except EndpointError:
            raise
        except ProviderError as error:
            return Rollout(problem.id, slot.index, messages, failure=error.failure)
        failure = None
        if not reply.text.strip():
            failure = Failure(FailureKind.EMPTY, f"{self.model} returned no text for problem {problem.id}")
        answered: Message = {"role": "assistant", "content": reply.text}
        return Rollout(
            problem.id,
            slot.index,
            (*messages, answered),
            reply.text,
            reply.finish_reason,
            reply.usage,
            time.perf_counter() - started,
            failure,
            reply=reply,
        )

    def prompt(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return what comes before the reply, under any library; for scoring stored rollouts."""
        return self.messages(problem, library)

    def offered(self, library: Library) -> tuple[dict[str, Any], ...]:
        """Return the tools that a request names: none."""
        return ()

    def messages(self, problem: Problem, library: Library) -> tuple[Message, ...]:
        """Return the prompt: the shared part first, so that prefix caches hit."""
        rest, told = apart(library, (INSTRUCTIONS,))
        if told and "instructions" in self.prompts.variables("solve/system"):
            library = rest
        system = self.prompts.render("solve/system", instructions=told.get(INSTRUCTIONS, self.instructions))
        user: Message = {"role": "user", "content": self.prompts.render("solve/user", problem=problem)}
        plain = [{"role": "system", "content": system}, user] if system else [user]
        return tuple(cast("list[Message]", library.inject(plain)))
