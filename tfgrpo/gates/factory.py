"""Gates from the plain options of a configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Literal, get_args

from tfgrpo import registry
from tfgrpo.config import LearnConfig, gate_scores_edits
from tfgrpo.config.method import EditScoreConfig
from tfgrpo.errors import UsageError
from tfgrpo.gates.alpha import Alpha, Rule
from tfgrpo.gates.base import Gate
from tfgrpo.gates.comparison import LITE, Design
from tfgrpo.gates.edit_score import check
from tfgrpo.gates.likelihood import LikelihoodGate
from tfgrpo.gates.open import OpenGate
from tfgrpo.gates.paired import PairedGate
from tfgrpo.gates.prefiltered import PrefilteredGate
from tfgrpo.types import Problem

TouchBy = Literal["auto", "word", "likelihood"]


def paired_gate(  # noqa: PLR0913 - options by name, each with a default
    *,
    seed: int = 0,
    lite: bool = False,
    alpha: float = 0.05,
    spending: Rule = "fixed",
    objectives: Sequence[str] = (),
    prefilter: bool = False,
    keep: int | None = None,
    score: EditScoreConfig | None = None,
    touch: TouchBy = "auto",
    **changes: float,
) -> PairedGate | PrefilteredGate:
    """Return the paired gate.

    Args:
        seed: The run's seed.
        lite: Start from the cheaper design (delta .1, looks of 8, at most 32 pairs).
        alpha: Chance of a false accept per edit, or false discovery rate of the run.
        spending: `fixed` for alpha per edit, `e-lond` for the whole run.
        objectives: Weigh these one by one instead of the reward: graders by name, `tokens`, or `scores` for all that
            the grader names; one must improve and none may be shown worse.
        prefilter: Prune by edit scores before any rollout is spent; needs a model that scores given tokens.
        keep: With `prefilter`, how many of the best ranked edits go on; None lets all that are not pruned.
        score: Which edit score.
        touch: How to find the problems of an edit that names none of their words: by `likelihood`, which needs a model
            that scores given tokens; `auto`, where the model scores for nothing; `word`, so not at all.
        changes: Any field of `Design`, such as `delta`, `nmax` or `look`, where it shall differ.

    Raises:
        TypeError: An option that does not exist.
        UsageError: A value that cannot be used.
    """
    if touch not in get_args(TouchBy):
        raise UsageError(f"gate.options.touch is {touch!r}; there are: {', '.join(get_args(TouchBy))}")
    design = replace(LITE if lite else Design(), **changes)  # type: ignore[arg-type]
    gate = PairedGate(seed, design, Alpha(alpha, spending), _names(objectives))
    if not prefilter:
        return gate
    # A better strategy makes old right rollouts less likely too: where rollouts decide, that is no veto.
    return PrefilteredGate(LikelihoodGate(check(score or EditScoreConfig()), seed, veto=False), gate, keep)


def _names(objectives: object) -> tuple[str, ...]:
    """Return the names of objectives, each once.

    Raises:
        UsageError: something else than a list of names.
    """
    listed = [objectives] if isinstance(objectives, str) else objectives
    if not isinstance(listed, Sequence) or not all(isinstance(name, str) and name for name in listed):
        raise UsageError(
            f'gate.options.objectives is a list of names such as ["correct", "tokens"], not {objectives!r}'
        )
    return tuple(dict.fromkeys(listed))


def likelihood_gate(
    *,
    seed: int = 0,
    score: EditScoreConfig | None = None,
    problems: int = 8,
    rollouts: int = 4,
    veto: bool = True,
    prefilter: bool = True,
    objectives: Sequence[str] = (),
) -> LikelihoodGate:
    """Return the gate that ranks, prunes and vetoes by edit scores.

    Args:
        seed: The run's seed.
        score: Which edit score, and its options.
        problems: Problems an edit is scored on, at most.
        rollouts: Rollouts of each.
        veto: Refuse edits that make a solved problem's right rollouts less likely.
        prefilter: Without a meaning here; it lets the options of a preset for the paired gate stand.
        objectives: Likewise.
    """
    return LikelihoodGate(check(score or EditScoreConfig()), seed, problems, rollouts, veto)


def open_gate(*, seed: int = 0, objectives: Sequence[str] = ()) -> OpenGate:
    """Return the gate that lets everything in; seed and objectives are there so that a preset's options stand."""
    return OpenGate()


def gate_for(config: LearnConfig, heldout: Sequence[Problem]) -> Gate:
    """Return the gate of a configuration.

    Raises:
        UsageError: a gate that measures was chosen without held-out problems, or its options do not fit.
    """
    kind = config.gate.kind
    if kind != "open" and not heldout:
        raise UsageError(f"gate {kind!r} needs held-out problems; give --heldout, or choose --gate open")
    factory = registry.resolve("gates", kind)
    try:
        scored = {"score": config.edit_score} if gate_scores_edits(config) else {}
        gate: Gate = factory(seed=config.seed, **scored, **config.gate.options)
    except TypeError as error:
        raise UsageError(f"gate {kind!r} does not take these options: {error}; it takes: {_takes(factory)}") from error
    return gate


def _takes(factory: Callable[..., object]) -> str:
    """Return the names of a gate's options, those of the design included where it has one."""
    parameters = inspect.signature(factory).parameters.values()
    own = {p.name for p in parameters if p.kind is not inspect.Parameter.VAR_KEYWORD} - {"seed", "score"}
    design = {field.name for field in fields(Design)} if factory is paired_gate else set()
    return ", ".join(sorted(own | design)) or "none"
