"""MLflow: `optimize_prompts` with the acceptance rule of `tfgrpo.integrations.gepa`.

mlflow.genai.optimize_prompts(..., optimizer=gepa_optimizer("openai:/gpt-5-mini", max_metric_calls=500))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tfgrpo.integrations.gepa import Acceptance


def gepa_optimizer(reflection_model: str, acceptance: Acceptance | None = None, **options: Any) -> Any:
    """Return a `GepaPromptOptimizer` that accepts what a test shows to be better; `options` are its own."""
    from mlflow.genai.optimize.optimizers import GepaPromptOptimizer  # noqa: PLC0415  only where it is used

    rule = acceptance or Acceptance()

    class Proven(GepaPromptOptimizer):  # type: ignore[misc]  # mlflow is not checked here
        """GEPA whose candidates must prove themselves on fresh records."""

        def optimize(self, eval_fn: Any, train_data: list[dict[str, Any]], *more: Any, **asked: Any) -> Any:
            """Optimize prompts; arguments as of `GepaPromptOptimizer.optimize`."""

            def evaluate(candidate: Mapping[str, str], batch: Sequence[Any]) -> list[float]:
                return [float(record.score) for record in eval_fn(dict(candidate), list(batch))]

            self.acceptance = rule.bound(evaluate, train_data)
            self.gepa_kwargs: dict[str, Any] = {**self.gepa_kwargs, "acceptance_criterion": self.acceptance}
            return super().optimize(eval_fn, train_data, *more, **asked)

    return Proven(reflection_model, **options)
