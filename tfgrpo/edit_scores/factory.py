"""What scores stored rollouts, from the model that is to be scored: made where a gate asks for it."""

from __future__ import annotations

from contextlib import AsyncExitStack

from tfgrpo import config as configuration
from tfgrpo.backends.base import Backend, close
from tfgrpo.backends.endpoints import Endpoints
from tfgrpo.backends.factory import Models
from tfgrpo.backends.openai import OpenAI
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.score import BackendScorer, TinyScores
from tfgrpo.backends.score_http import HttpScores
from tfgrpo.backends.tiny.backend import Tiny
from tfgrpo.config import LearnConfig
from tfgrpo.edit_scores.teacher_forced import Likelihood, RendersPrompts
from tfgrpo.environments import Environment
from tfgrpo.errors import UsageError
from tfgrpo.executors import Local


def make_likelihood(
    config: LearnConfig, models: Models, environment: Environment, stack: AsyncExitStack
) -> Likelihood | None:
    """Return what scores stored rollouts, where the gate or the order of its queue asks for it.

    Raises:
        UsageError: the model or the environment cannot be scored.
    """
    line = models.attempting
    ours = isinstance(environment, RendersPrompts)
    touch = touch_is_free(config, line.backend, own_prompt=ours)
    welcome = configuration.wants_scores(config) or configuration.bounds_by_scores(config)
    if not (touch or configuration.needs_scores(config) or welcome):
        return None
    if not isinstance(environment, RendersPrompts):
        raise UsageError("edit scores need the prompt of a rollout, and an agent makes its own; use --gate paired")
    scores = scoring_backend(
        line.backend, configuration.environment("OPENAI_API_KEY"), line.price, config.engine.timeout
    )
    stack.push_async_callback(close, scores)
    scoring = BackendScorer(models.backend(Endpoints(scores, line.model, line.price)), line.model)
    return Likelihood(scoring, environment, Local())


def touch_is_free(config: LearnConfig, backend: Backend, *, own_prompt: bool) -> bool:
    """Say whether the paired gate finds problems by likelihood without being told to: a score costs no request.

    Args:
        config: whose gate; its `touch` option must leave it open.
        backend: the model of the rollouts.
        own_prompt: whether the prompts of rollouts are ours, so that they can be rendered under any library.
    """
    left_open = config.gate.kind == "paired" and config.gate.options.get("touch", "auto") == "auto"
    return left_open and own_prompt and isinstance(backend, Tiny)


def scoring_backend(backend: Backend, key: str | None, price: Price | None, timeout: float = 600.0) -> Backend:
    """Return what answers scoring calls for the model behind `backend`.

    Raises:
        UsageError: such a model cannot score given tokens.
    """
    if isinstance(backend, Tiny):
        return TinyScores(backend)
    if getattr(backend, "scores_tokens", False):
        return backend  # a model of one's own that answers requests with `forced_ids`
    if isinstance(backend, OpenAI):
        return HttpScores(backend.base_url, key, price=price, timeout=timeout)
    raise UsageError(
        f"{type(backend).__name__} models cannot score given tokens, which this method needs; serve the model with "
        "vLLM and name it with --base-url, or take --gate paired"
    )
