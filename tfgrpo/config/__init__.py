"""Settings: one table per subject, read from a preset, a file and overrides, checked before anything runs.

In: TOML files, `-s a.b=value`, keyword arguments. Out: one frozen `LearnConfig`; keys of other people never pass here.
Read `tables.py` first; the other files are the single tables, `presets/` the published methods as settings.
"""

from tfgrpo.config.engine import EngineConfig
from tfgrpo.config.grader import GraderConfig
from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.config.method import AdvantageConfig, EditScoreConfig, SelectionConfig, ShapingConfig
from tfgrpo.config.rollout_environment import EnvironmentConfig
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
    data_folder,
    default_db,
    environment,
    from_table,
    load,
    merge,
    needs_scores,
    preset_about,
    preset_names,
    preset_path,
    read_toml,
    secrets,
    to_table,
)

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
    "data_folder",
    "default_db",
    "environment",
    "from_table",
    "load",
    "merge",
    "needs_scores",
    "preset_about",
    "preset_names",
    "preset_path",
    "read_toml",
    "secrets",
    "to_table",
]
