"""lm-evaluation-harness: a task that generates, as tasks and grader.

    tfgrpo prove prompt.md --on lm-eval:gsm8k --model openai/gpt-5-mini
    tfgrpo prove prompt.md --on lm-eval:my_task@folder/with/yaml ...

The prompt is the task's own text of a document, without few-shot examples; the answer goes through the task's filters
and `process_results`, and the first metric is the reward. Tasks that compare log-probabilities of choices do not fit.
"""

from __future__ import annotations

from typing import Any

from tfgrpo.errors import UsageError
from tfgrpo.integrations.bridges import Bridge
from tfgrpo.types import Problem, Rollout, Score


def bridge(address: str) -> Bridge:
    """Return the documents of `TASK`, or of `TASK@FOLDER` with task files of one's own."""
    from lm_eval.tasks import TaskManager  # noqa: PLC0415  heavy

    name, _, folder = address.partition("@")
    manager = TaskManager(include_path=folder) if folder else TaskManager()
    if name not in manager.all_tasks:
        raise UsageError(f"lm_eval has no task {name!r}; `lm_eval ls tasks` lists them")
    task = manager.load([name])["tasks"][name]
    if task.OUTPUT_TYPE != "generate_until":
        raise UsageError(f"the lm_eval task {name!r} is of type {task.OUTPUT_TYPE}; only tasks that generate fit")
    documents = {f"{name}/{i}": doc for i, doc in enumerate(task.eval_docs)}
    problems = tuple(
        Problem(key, str(task.doc_to_text(doc)), str(task.doc_to_target(doc))) for key, doc in documents.items()
    )
    return Bridge(problems, Metric(task, documents), str(task.config.description or ""))


class Metric:
    """A task's filters and metric as a grader."""

    def __init__(self, task: Any, documents: dict[str, Any]) -> None:
        self.task = task
        self.documents = documents
        self.__name__ = "lm_eval"

    def __call__(self, problem: Problem, rollout: Rollout) -> Score:
        """Return the task's first metric for an answer."""
        document = self.documents[problem.id]
        found = self.task.process_results(document, [self._filtered(rollout.answer, document)])
        name, value = next(iter(found.items()))
        return Score(float(value), f"{name} of lm_eval", "lm_eval")

    def _filtered(self, answer: str, document: Any) -> Any:
        """Return the answer after the task's first chain of filters."""
        for ensemble in getattr(self.task, "_filters", [])[:1]:
            answers: Any = [[answer]]
            for made in ensemble.filters:
                answers = list(made().apply(answers, [document]))
            first = answers[0]
            return first[0] if isinstance(first, list) else first
        return answer
