"""Configuration is data: frozen dataclasses, filled from a preset, then a TOML file, then `a.b=value` overrides.

Unknown keys are refused with the nearest known one. This module is also the only one that reads environment
variables, so that nothing else in the package depends on hidden state.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tfgrpo.config import lessons as lessons_config
from tfgrpo.config import method as method_config
from tfgrpo.config import search as search_config
from tfgrpo.config.engine import EngineConfig
from tfgrpo.config.grader import GraderConfig
from tfgrpo.config.lessons import LessonsConfig
from tfgrpo.config.method import AdvantageConfig, EditScoreConfig, RewardConfig, SelectionConfig, ShapingConfig
from tfgrpo.config.rollout_environment import CHOICES as ENVIRONMENT_CHOICES
from tfgrpo.config.rollout_environment import LEAST as ENVIRONMENT_LEAST
from tfgrpo.config.rollout_environment import EnvironmentConfig
from tfgrpo.config.search import SearchConfig
from tfgrpo.errors import UnknownKey, UsageError

T = TypeVar("T")
PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, slots=True)
class RolloutConfig:
    """How rollouts are drawn while learning."""

    group_size: int = 5
    """Rollouts per problem (G). Below 2 there is nothing to contrast."""
    temperature: float | None = 1.0
    """1 keeps later likelihood scores on-policy; the paper uses 0.7."""
    top_p: float | None = None
    max_tokens: int | None = None
    """Limit of one reply; None leaves it to the endpoint."""


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """How rollouts are drawn in gate and measure; not set: as the model says (`models.toml`), else as in `rollout`."""

    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class GateConfig:
    """What an edit must show before it enters the library."""

    kind: str = "paired"
    """`paired`, `open`, `likelihood`, or `package.module:attr`."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Passed to the gate: delta, nmax, look, ..."""
    max_edits: int | None = None
    """Edits that one version may take in, at most: a trust region. Later ones wait for the next version untested."""
    max_kl: float | None = None
    """No second edit meets the gate with which a version would move further than this from the last one: KL on stored
    rollouts, in nats per token. Needs a model that scores given tokens; elsewhere `max_edits` acts alone."""
    harm: str = "rollback"
    """What happens to an epoch that made the library worse as a whole: `rollback` undoes it, `warn` only says so."""


@dataclass(frozen=True, slots=True)
class BudgetConfig:
    """Hard limits over all roles; None means no limit."""

    calls: int | None = None
    tokens: int | None = None
    usd: float | None = None
    seconds: float | None = None
    stop_file: str = ""
    """A run ends cleanly once this file is there; empty looks for none."""


@dataclass(frozen=True, slots=True)
class LearnConfig:
    """Everything that `learn` can be told."""

    method: str = "default"
    """Preset this started from."""
    epochs: int = 3
    batch_size: int = 50
    """Problems per step."""
    seed: int = 0
    limit: int | None = None
    """Use only so many problems, drawn by the seed."""
    heldout: str = "auto"
    """A file, or the fraction of the dataset kept back for gating and measuring; `auto` follows the size of the set."""
    instructions: str = ""
    """What the agent is told besides the problem."""
    prompts: str = ""
    """Prompt set; empty means the model's own set if it has one, else `default`."""
    advantage: AdvantageConfig = AdvantageConfig()
    selection: SelectionConfig = SelectionConfig()
    shaping: ShapingConfig = ShapingConfig()
    edit_score: EditScoreConfig = EditScoreConfig()
    grader: GraderConfig = GraderConfig()
    reward: RewardConfig = RewardConfig()
    environment: EnvironmentConfig = EnvironmentConfig()
    tools: Mapping[str, Any] = field(default_factory=dict)
    """Options of each tool by its name: `tools.python.isolation = "limits"`."""
    rollout: RolloutConfig = RolloutConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    lessons: LessonsConfig = LessonsConfig()
    gate: GateConfig = GateConfig()
    engine: EngineConfig = EngineConfig()
    search: SearchConfig = SearchConfig()
    budget: BudgetConfig = BudgetConfig()


PLACES: Mapping[str, str] = {
    "epochs": "epochs",
    "group_size": "rollout.group_size",
    "batch_size": "batch_size",
    "concurrency": "engine.concurrency",
    "executor": "engine.executor",
    "seed": "seed",
    "limit": "limit",
    "heldout": "heldout",
    "instructions": "instructions",
    "gate": "gate.kind",
    "review": "lessons.review",
    "budget_usd": "budget.usd",
    "budget_tokens": "budget.tokens",
    "budget_calls": "budget.calls",
    "budget_seconds": "budget.seconds",
}
"""Which configuration key an option of the command line or argument of the Python API stands for."""

LEAST: Mapping[str, float] = {
    "epochs": 1,
    "batch_size": 1,
    "limit": 1,
    "rollout.group_size": 1,
    "engine.ray.workers": 0,
    "engine.ray.queue": 1,
    "rollout.max_tokens": 1,
    "evaluation.max_tokens": 1,
    **lessons_config.LEAST,
    "engine.concurrency": 1,
    "engine.overlap": 0,
    "engine.local.slots": 1,
    "engine.local.context": 256,
    "engine.local.threads": 0,
    "engine.attempts": 1,
    "engine.timeout": 0.001,
    "engine.patience": 0,
    "engine.hedge": 0,
    "engine.body_bytes": 1024,
    "engine.reply_characters": 1,
    "engine.requests_per_minute": 1,
    "engine.tokens_per_minute": 1,
    "grader.votes": 1,
    "grader.max_tokens": 1,
    "grader.answer_tokens": 100,
    "grader.calls": 0,
    "grader.tokens": 0,
    "budget.calls": 0,
    "budget.tokens": 0,
    "budget.usd": 0,
    "budget.seconds": 0,
    **ENVIRONMENT_LEAST,
    **method_config.LEAST,
    **search_config.LEAST,
}
"""Smallest value of the keys that have one."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "engine.transport": ("aiohttp", "sdk"),
    "gate.harm": ("rollback", "warn"),
    "grader.mode": ("answer", "pairs", "rank", "grades"),
    **lessons_config.CHOICES,
    **ENVIRONMENT_CHOICES,
    **method_config.CHOICES,
    **search_config.CHOICES,
}
"""All values of the keys that take a word."""


def load(
    method: str = "default", file: Path | None = None, overrides: Iterable[str | tuple[str, Any]] = ()
) -> LearnConfig:
    """Build a configuration from preset `method`, then a TOML file, then overrides.

    Args:
        method: name of a preset of the package.
        file: TOML with the same keys; may be absent.
        overrides: `"a.b=value"` strings (values are read as TOML, else as text) or `("a.b", value)` pairs.

    Raises:
        UsageError: unknown preset, unreadable file, value of a wrong type.
        UnknownKey: a key that does not exist.
    """
    table: dict[str, Any] = {"method": method}
    merge(table, read_toml(preset_path(method)))
    own = {} if file is None else read_toml(file)
    try:
        from_table(LearnConfig, own)
    except UsageError as error:
        raise type(error)(f"{file}: {error}") from error
    merge(table, own)
    for item in overrides:
        key, value = _assignment(item) if isinstance(item, str) else item
        merge(table, _nested(key.split("."), value))
    return _together(from_table(LearnConfig, table))


def _together(config: LearnConfig) -> LearnConfig:
    """Refuse settings that are fine alone and make no sense together."""
    size, share = config.rollout.group_size, config.shaping.overlong
    if size < 2 and config.advantage.kind not in ("critic", "gae"):
        raise UsageError(f"rollout.group_size is {size}; give at least 2, or --method ppo, whose critic needs no group")
    if not (0 <= config.advantage.gamma <= 1 and 0 <= config.advantage.lam <= 1):
        raise UsageError("advantage.gamma and advantage.lam are discounts; give numbers from 0 to 1")
    low, high = config.reward.low, config.reward.high
    if (low is None) != (high is None) or (low is not None and high is not None and not low < high):
        raise UsageError(f"reward.low and reward.high go together, low below high; they are {low} and {high}")
    if config.reward.token_cost and not (config.shaping.max_length or config.rollout.max_tokens):
        raise UsageError("reward.token_cost is a price of the length limit; give rollout.max_tokens")
    if share is not None and share > 1:
        raise UsageError(f"shaping.overlong is {share:g}; it is a share of the length limit, at most 1")
    if config.lessons.labels == "none":
        told = (config.gate.kind, config.selection.kind, config.advantage.prior)
        if told != ("open", "informative", "fixed") or config.lessons.proposer == "agentic":
            raise UsageError("lessons.labels=none needs --gate open, informative selection and no agentic proposer")
    if config.engine.overlap > 1:
        raise UsageError(f"engine.overlap is {config.engine.overlap}; 1 is the most, one batch ahead of the library")
    return config


def preset_path(name: str) -> Path:
    """Return the file of preset `name`; raises UsageError with the known names."""
    path = PRESETS / f"{name}.toml"
    if not path.is_file():
        raise UsageError(f"no method {name!r}; there are: {', '.join(preset_names())}")
    return path


def preset_names() -> tuple[str, ...]:
    """Names of all presets, sorted."""
    return tuple(sorted(p.stem for p in PRESETS.glob("*.toml")))


def preset_about(name: str) -> str:
    """What a preset says of itself: its first line."""
    return preset_path(name).read_text(encoding="utf-8").partition("\n")[0].removeprefix("#").strip()


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file; raises UsageError naming the file and the fault."""
    try:
        return _parsed(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"cannot read configuration {path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def _parsed(text: str) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - what only shows settings parses none

    return tomllib.loads(text)


def merge(into: dict[str, Any], extra: Mapping[str, Any]) -> None:
    """Lay `extra` over `into`, table by table."""
    for key, value in extra.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), str):
            into[key] = {"kind": into[key], **value}
        elif isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def from_table(kind: type[T], table: Mapping[str, Any], where: str = "") -> T:
    """Turn a plain table into the frozen dataclass `kind`, checking keys and types."""
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for key, value in table.items():
        path = f"{where}{key}"
        if key not in known:
            import difflib  # noqa: PLC0415 - for a message alone

            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {where}{near[0]!s}?" if near else f"known: {', '.join(sorted(known))}"
            raise UnknownKey(f"unknown configuration key {path!r}; {hint}")
        values[key] = _value(hints[key], value, path)
    return kind(**values)


def to_table(config: Any) -> dict[str, Any]:
    """Return a configuration as a plain nested dict, for storing with the run."""
    return dataclasses.asdict(config)


def _value(hint: Any, value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if isinstance(value, str) and "kind" in {f.name for f in dataclasses.fields(hint)}:
            value = {"kind": value}
        if not isinstance(value, Mapping):
            raise UsageError(f"{path} is a table, not {value!r}")
        return from_table(typing.cast("type[Any]", hint), value, f"{path}.")
    if typing.get_origin(hint) is Mapping:
        return value
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise UsageError(f"{path} is a list, not {value!r}")
        return tuple(_value(typing.get_args(hint)[0], item, f"{path}[{i}]") for i, item in enumerate(value))
    options = typing.get_args(hint) or (hint,)
    if type(None) in options and value in (None, "none"):
        return None
    return _scalar(options, value, path)


def _scalar(options: tuple[Any, ...], value: Any, path: str) -> Any:
    if float in options and type(value) is int:
        value = float(value)
    if str in options:
        value = str(value)
    if type(value) not in options:
        wanted = " or ".join(_KINDS[option] for option in options)
        raise UsageError(f"{path} must be {wanted}, not {value!r}")
    if path in LEAST and not value >= LEAST[path]:
        raise UsageError(f"{path} is {value:g}; give at least {LEAST[path]:g}")
    if path in CHOICES and value not in CHOICES[path]:
        known = ", ".join(word for word in CHOICES[path] if word)
        raise UsageError(f"{path} is {value!r}; there are: {known}")
    return value


_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}


def _assignment(text: str) -> tuple[str, Any]:
    key, sign, raw = text.partition("=")
    if not sign or not key.strip():
        raise UsageError(f"an override looks like a.b=value, not {text!r}")
    try:
        return key.strip(), _parsed(f"x = {raw}")["x"]
    except ValueError:
        return key.strip(), raw.strip()


DEEPEST_KEY = 12


def _nested(keys: list[str], value: Any) -> dict[str, Any]:
    # No setting lies deeper; a thousand dots would end whoever walks the table.
    *above, last = keys[:DEEPEST_KEY]
    table = {last: value}
    for key in reversed(above):
        table = {key: table}
    return table
