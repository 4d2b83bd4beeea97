"""A pinned experiment as data: what is learned from, what it is tested on, what it should show, what it should cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tfgrpo import config as configuration
from tfgrpo.errors import UsageError

RECIPES = Path(__file__).parent / "recipes"
FIGURES = ("before", "after", "diff")


@dataclass(frozen=True, slots=True)
class LearnPart:
    """What is learned, and with what."""

    dataset: str
    """A named set, `hf:...`, or a file beside the recipe."""
    model: str
    grader: str
    words: str = ""
    """Hash of questions and answers (`datasets show --json` has it); another dataset is refused. Empty pins nothing."""
    method: str = "default"
    library: str = "reproduced"


@dataclass(frozen=True, slots=True)
class EvalPart:
    """A dataset that is measured with the library and without it, and what should come out."""

    dataset: str
    low: float
    high: float
    """The expected range of `figure`, in reward (0 to 1)."""
    basis: str
    """Where the range comes from."""
    figure: str = "diff"
    """`after` (with the library), `before` (without), or `diff` (paired)."""
    published: str = ""
    """What somebody else published, in words; shown as theirs."""
    words: str = ""
    k: int = 1
    """Rollouts per problem."""
    grader: str = ""
    """Empty takes the one of learning."""


@dataclass(frozen=True, slots=True)
class CostPart:
    """What one rollout and one lesson call use, for the estimate."""

    basis: str
    """Where these numbers come from."""
    turns: float = 1.0
    """Model calls of one rollout."""
    prompt_tokens: float = 0.0
    """Of one rollout, over all its calls."""
    completion_tokens: float = 0.0
    lesson_prompt_tokens: float = 0.0
    """Of one call that summarizes, contrasts or consolidates."""
    lesson_completion_tokens: float = 0.0
    gate_rollouts: int = 0
    """Rollouts that the gate needs in all, where it measures."""
    judge_share: float = 0.0
    """Share of rollouts that a judge is asked about."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A pinned experiment."""

    name: str
    path: Path
    about: str
    learn: LearnPart
    tests: tuple[EvalPart, ...]
    cost: CostPart
    config: Mapping[str, Any] = field(default_factory=dict)
    """Configuration keys, as in the file of --config."""
    hosted: bool = True
    """Whether it asks a hosted model, which costs money."""

    def place(self, dataset: str) -> str:
        """Return the dataset as it is loaded: a file beside the recipe or in the folder of TFGRPO_DATA, else a name."""
        folders = (self.path.parent, configuration.data_folder())
        found = (folder / dataset for folder in folders if folder is not None)
        return next((str(path) for path in found if path.is_file()), dataset)


def recipe_names() -> tuple[str, ...]:
    """Names of the recipes in the package, sorted."""
    return tuple(sorted(path.stem for path in RECIPES.glob("*.toml")))


def load_recipe(name: str) -> Recipe:
    """Return a recipe by name, or from a TOML file.

    Raises:
        UsageError: there is none of that name, or the file is not a recipe.
        UnknownKey: it holds a key that does not exist.
    """
    path = Path(name) if name.endswith(".toml") else RECIPES / f"{name}.toml"
    if not path.is_file():
        if name.endswith(".toml"):
            raise UsageError(f"there is no file {name}; name a recipe in TOML, or one of {', '.join(recipe_names())}")
        raise UsageError(f"no recipe {name!r}; there are: {', '.join(recipe_names())}, or the path of a .toml file")
    table = configuration.read_toml(path)
    unknown = sorted(set(table) - {"about", "hosted", "learn", "test", "cost", "config"})
    if unknown:
        raise UsageError(f"{path}: unknown key {unknown[0]!r}; a recipe has about, hosted, learn, test, cost, config")
    for key in ("about", "learn", "test", "cost"):
        if key not in table:
            raise UsageError(f"{path}: a recipe needs {key!r}")
    tests = table["test"] if isinstance(table["test"], list) else [table["test"]]
    recipe = Recipe(
        path.stem,
        path,
        str(table["about"]),
        _part(LearnPart, table["learn"], f"{path}: learn."),
        tuple(_part(EvalPart, each, f"{path}: test.") for each in tests),
        _part(CostPart, table["cost"], f"{path}: cost."),
        table.get("config", {}),
        bool(table.get("hosted", True)),
    )
    for test in recipe.tests:
        if test.figure not in FIGURES or not test.low <= test.high:
            raise UsageError(f"{path}: test.figure is one of {', '.join(FIGURES)}, with test.low at most test.high")
    return recipe


def _part(kind: Any, table: Any, where: str) -> Any:
    if not isinstance(table, Mapping):
        raise UsageError(f"{where.rstrip('.')} is a table, not {table!r}")
    try:
        return configuration.from_table(kind, table, where)
    except TypeError as error:
        raise UsageError(f"{where.rstrip('.')}: {error}") from error


def as_arguments(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe's configuration as arguments of the Python API: one level of tables with double underscores."""
    flat: dict[str, Any] = {}
    for key, value in recipe.config.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}__{inner}": item for inner, item in value.items()}
        else:
            flat[key] = value
    return flat


def settings(recipe: Recipe) -> configuration.LearnConfig:
    """Return the resolved configuration.

    Raises:
        UnknownKey: a key that does not exist.
    """
    pairs = [(key.replace("__", "."), value) for key, value in as_arguments(recipe).items()]
    return configuration.load(recipe.learn.method, None, pairs)
