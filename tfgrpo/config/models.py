"""What a model sets for itself (`models.toml`), and what follows for held-out rollouts where nothing is set."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from tfgrpo.config.tables import EvaluationConfig, LearnConfig, from_table, read_toml

FILE = Path(__file__).with_name("models.toml")


def for_model(config: LearnConfig, model: str) -> LearnConfig:
    """Return `config` with its `evaluation` filled in: what is set there, else by the model, else as learning draws."""
    own, drawn = config.evaluation, config.rollout
    named = from_table(EvaluationConfig, _own_table(model).get("evaluation", {}))
    found: dict[str, Any] = {
        name: next((x for x in (getattr(way, name) for way in (own, named, drawn)) if x is not None), None)
        for name in (field.name for field in fields(EvaluationConfig))
    }
    return replace(config, evaluation=EvaluationConfig(**found))


def _own_table(model: str) -> dict[str, Any]:
    names = [name for name in _models() if model == name or (name.endswith("/") and model.startswith(name))]
    return dict(_models()[max(names, key=len)]) if names else {}


@cache
def _models() -> dict[str, Any]:
    return read_toml(FILE)
