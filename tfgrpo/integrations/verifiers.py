"""verifiers, both ways: a taskset and its rewards for `tfgrpo prove`, and a library as its system prompt.

    tfgrpo prove SKILL.md --on verifiers:package.module@MyTaskset --model openai/gpt-5-mini

    system_prompt("algebra", "lessons.md")       # then --taskset.system-prompt lessons.md

Rewards that need a running container are left out by verifiers itself, and said so in its log.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tfgrpo
from experience_db import Library
from tfgrpo.integrations.bridges import Bridge, attribute_of
from tfgrpo.types import Problem, Rollout, Score


def bridge(address: str) -> Bridge:
    """Return the tasks and the rewards of `package.module@Taskset`, a class or an object."""
    made = attribute_of(address)
    taskset = made(_config(made)) if isinstance(made, type) else made
    tasks = {_id(task, place): task for place, task in enumerate(taskset)}
    problems = tuple(Problem(name, task.data.prompt_text) for name, task in tasks.items())
    return Bridge(problems, Rewards(tasks))


def _config(kind: Any) -> Any:
    from verifiers.v1 import TasksetConfig  # noqa: PLC0415  heavy
    from verifiers.v1.utils.generic import concrete_type  # noqa: PLC0415

    return (concrete_type(kind, TasksetConfig) or TasksetConfig)(id=kind.__name__)


def _id(task: Any, place: int) -> str:
    return str(task.data.id or task.data.name or place)


class Rewards:
    """The rewards of a taskset as a grader."""

    def __init__(self, tasks: dict[str, Any]) -> None:
        self.tasks = tasks
        self.__name__ = "verifiers"

    async def __call__(self, problem: Problem, rollout: Rollout) -> Score:
        """Return the weighted sum of the task's rewards for a finished conversation."""
        import verifiers.v1 as vf  # noqa: PLC0415
        from verifiers.v1.types import AssistantMessage, UserMessage  # noqa: PLC0415

        task = self.tasks[problem.id]
        asked = vf.MessageNode(message=UserMessage(content=problem.question))
        said = vf.MessageNode(parent=0, message=AssistantMessage(content=rollout.answer), sampled=True)
        trace = vf.Trace(
            task=vf.TraceTask(type=type(task).__name__, data=task.data),
            agent=vf.AgentInfo(config=vf.AgentConfig()),
            nodes=[asked, said],
            ok=True,
        )
        await task.score(trace)
        named = {name: reward for name, reward in trace.rewards.items() if reward is not None}
        why = ", ".join(f"{name} {reward.score:g}" for name, reward in named.items())
        return Score(float(trace.reward) if named else None, why, "verifiers")


def system_prompt(library: str | Library, place: str | Path, db: str | Path | None = None) -> Path:
    """Write a library's lessons as the text that verifiers reads as system prompt, and return where it is."""
    if isinstance(library, str):
        library = tfgrpo.open_library(library) if db is None else tfgrpo.open_library(library, db=db)
    Path(place).write_text(f"{library.block()}\n", encoding="utf-8")
    return Path(place)
