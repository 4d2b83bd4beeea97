"""inspect_ai, both ways: its tasks and scorers for `tfgrpo prove`, and a library as one of its solvers.

tfgrpo prove SKILL.md --on inspect:tasks.py@addition --model openai/gpt-5-mini

Task(dataset=..., solver=[lessons("algebra"), generate()], scorer=match())
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tfgrpo
from experience_db import Library
from tfgrpo.integrations.bridges import Bridge, attribute_of
from tfgrpo.types import Problem, Rollout, Score


def bridge(address: str) -> Bridge:
    """Return the samples and the scorers of `FILE.py@TASK`; a task of several scorers counts their mean."""
    made = attribute_of(address)
    task = made() if callable(made) else made
    samples = {sample_id(s, i): s for i, s in enumerate(task.dataset, 1)}
    problems = tuple(
        Problem(name, _words(s.input), _target(s.target), dict(s.metadata or {})) for name, s in samples.items()
    )
    return Bridge(problems, Scorer(samples, task.scorer or []))


def sample_id(sample: Any, place: int) -> str:
    """Return a sample's id as its logs name it."""
    return str(sample.id if sample.id is not None else place)


class Scorer:
    """The scorers of a task as a grader."""

    def __init__(self, samples: dict[str, Any], scorers: Any) -> None:
        self.samples = samples
        self.scorers = list(scorers) if isinstance(scorers, list | tuple) else [scorers]
        self.__name__ = "inspect"

    async def __call__(self, problem: Problem, rollout: Rollout) -> Score:
        """Return the mean of the scorers' values, with their explanations."""
        from inspect_ai.model import ChatMessageAssistant, ChatMessageUser, ModelName, ModelOutput  # noqa: PLC0415
        from inspect_ai.scorer import Target, value_to_float  # noqa: PLC0415
        from inspect_ai.solver import TaskState  # noqa: PLC0415

        sample, name = self.samples[problem.id], "tfgrpo/model"
        target = Target(sample.target)
        state = TaskState(
            model=ModelName(name),
            sample_id=problem.id,
            epoch=1,
            input=sample.input,
            messages=[ChatMessageUser(content=problem.question), ChatMessageAssistant(content=rollout.answer)],
            target=target,
            choices=sample.choices,
            output=ModelOutput.from_content(name, rollout.answer),
            metadata=dict(sample.metadata or {}),
        )
        found = [await scorer(state, target) for scorer in self.scorers]
        values = [float(value_to_float()(score.value)) for score in found if score is not None]
        why = "; ".join(str(score.explanation) for score in found if score is not None and score.explanation)
        return Score(sum(values) / len(values) if values else None, why, "inspect")


def lessons(library: str | Library, db: str | Path | None = None) -> Any:
    """Return an inspect solver that puts a library's lessons into the system message; combine it with `generate()`."""
    from inspect_ai.model import ChatMessageSystem  # noqa: PLC0415
    from inspect_ai.solver import solver  # noqa: PLC0415

    block = (library if isinstance(library, Library) else _opened(library, db)).block()

    @solver(name="tfgrpo_lessons")  # type: ignore[untyped-decorator,unused-ignore]  # typed where inspect is installed
    def made() -> Any:
        async def solve(state: Any, generate: Any) -> Any:
            first = state.messages[0] if state.messages else None
            if not block:
                return state
            if first is not None and first.role == "system":
                state.messages[0] = ChatMessageSystem(content=f"{first.text}\n\n{block}")
            else:
                state.messages.insert(0, ChatMessageSystem(content=block))
            return state

        return solve

    return made()


def _opened(library: str, db: str | Path | None) -> Library:
    found: Library = tfgrpo.open_library(library) if db is None else tfgrpo.open_library(library, db=db)
    return found


def _words(given: Any) -> str:
    return given if isinstance(given, str) else "\n\n".join(str(message.text) for message in given)


def _target(given: Any) -> str | None:
    return str(given[0] if isinstance(given, list) and given else given) if given else None
