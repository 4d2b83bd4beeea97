"""Settings: one table per subject, read from a preset, a file and overrides, checked before anything runs.

In: TOML files, `-s a.b=value`, keyword arguments. Out: one frozen `LearnConfig`; keys of other people never pass here.
Read `tables.py` first; the other files are the single tables, `presets/` the published methods as settings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experience_db.lazy_names import names_on_use

if TYPE_CHECKING:
    from tfgrpo.config.engine import EngineConfig
    from tfgrpo.config.grader import GraderConfig
    from tfgrpo.config.lessons import LessonsConfig
    from tfgrpo.config.method import AdvantageConfig, EditScoreConfig, SelectionConfig, ShapingConfig
    from tfgrpo.config.models import for_model
    from tfgrpo.config.rollout_environment import EnvironmentConfig
    from tfgrpo.config.scoring import bounds_by_scores, gate_scores_edits, needs_scores, wants_scores
    from tfgrpo.config.search import SearchConfig
    from tfgrpo.config.tables import (
        CHOICES,
        LEAST,
        PLACES,
        PRESETS,
        BudgetConfig,
        EvaluationConfig,
        GateConfig,
        LearnConfig,
        RolloutConfig,
        from_table,
        load,
        merge,
        preset_about,
        preset_names,
        preset_path,
        read_toml,
        to_table,
    )
    from tfgrpo.config.variables import data_folder, default_db, environment, secrets

__all__ = [
    "CHOICES",
    "LEAST",
    "PLACES",
    "PRESETS",
    "AdvantageConfig",
    "BudgetConfig",
    "EditScoreConfig",
    "EngineConfig",
    "EnvironmentConfig",
    "EvaluationConfig",
    "GateConfig",
    "GraderConfig",
    "LearnConfig",
    "LessonsConfig",
    "RolloutConfig",
    "SearchConfig",
    "SelectionConfig",
    "ShapingConfig",
    "bounds_by_scores",
    "data_folder",
    "default_db",
    "environment",
    "for_model",
    "from_table",
    "gate_scores_edits",
    "load",
    "merge",
    "needs_scores",
    "preset_about",
    "preset_names",
    "preset_path",
    "read_toml",
    "secrets",
    "to_table",
    "wants_scores",
]

__getattr__, __dir__ = names_on_use(
    __name__,
    {
        "tfgrpo.config.engine": ("EngineConfig",),
        "tfgrpo.config.grader": ("GraderConfig",),
        "tfgrpo.config.lessons": ("LessonsConfig",),
        "tfgrpo.config.method": (
            "AdvantageConfig",
            "EditScoreConfig",
            "SelectionConfig",
            "ShapingConfig",
        ),
        "tfgrpo.config.models": ("for_model",),
        "tfgrpo.config.rollout_environment": ("EnvironmentConfig",),
        "tfgrpo.config.scoring": (
            "bounds_by_scores",
            "gate_scores_edits",
            "needs_scores",
            "wants_scores",
        ),
        "tfgrpo.config.search": ("SearchConfig",),
        "tfgrpo.config.tables": (
            "CHOICES",
            "LEAST",
            "PLACES",
            "PRESETS",
            "BudgetConfig",
            "EvaluationConfig",
            "GateConfig",
            "LearnConfig",
            "RolloutConfig",
            "from_table",
            "load",
            "merge",
            "preset_about",
            "preset_names",
            "preset_path",
            "read_toml",
            "to_table",
        ),
        "tfgrpo.config.variables": (
            "data_folder",
            "default_db",
            "environment",
            "secrets",
        ),
    },
)
