"""DSPy: its GEPA optimizer with the acceptance rule of `tfgrpo.integrations.gepa`.

optimizer = gepa_optimizer(metric=metric, reflection_lm=lm, auto="light")
better = optimizer.compile(program, trainset=trainset, valset=valset)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfgrpo.integrations.gepa import Acceptance, Evaluate


def gepa_optimizer(acceptance: Acceptance | None = None, **options: Any) -> Any:
    """Return a `dspy.GEPA` that accepts what a test shows to be better; `options` are those of `dspy.GEPA`."""
    import dspy  # noqa: PLC0415  only where it is used

    rule = acceptance or Acceptance()

    class Proven(dspy.GEPA):  # type: ignore[misc]  # dspy is not typed
        """GEPA whose candidates must prove themselves on fresh examples."""

        def compile(self, student: Any, **asked: Any) -> Any:
            """Optimize `student`; arguments as of `dspy.GEPA.compile`."""
            examples = list(asked["trainset"])
            bound = rule.bound(evaluator(student, self.metric_fn, self.num_threads, self.failure_score), examples)
            self.gepa_kwargs: dict[str, Any] = {**self.gepa_kwargs, "acceptance_criterion": bound}
            self.acceptance = bound
            return super().compile(student, **asked)

    return Proven(**options)


def evaluator(student: Any, metric: Callable[..., Any], threads: int | None, failure: float) -> Evaluate:
    """Return what scores a candidate of a DSPy program: instructions by the name of the predictor."""
    import dspy  # noqa: PLC0415

    def score(example: Any, prediction: Any, trace: Any = None) -> float:
        found = metric(example, prediction, trace, None, None)
        return float(found["score"] if hasattr(found, "score") or isinstance(found, Mapping) else found)

    def evaluate(candidate: Mapping[str, str], batch: Sequence[Any]) -> list[float]:
        program = student.deepcopy()
        for name, predictor in program.named_predictors():
            if name in candidate:
                predictor.signature = predictor.signature.with_instructions(candidate[name])
        run = dspy.Evaluate(
            devset=list(batch), metric=score, num_threads=threads, failure_score=failure, display_progress=False,
            display_table=False, max_errors=len(batch) + 1,
        )  # fmt: skip
        return [float(score) for _, _, score in run(program).results]

    return evaluate
