"""Prompt templates: every text that a model sees is a Jinja2 file, found in one place, hashed, rendered strictly.

A template is looked up in the override folder, then in the folder of the set, then in `default/`. All files are read
once, by `load`, so that an edit on disk in the middle of a run changes nothing, and a broken override ends the command
before the first model call. A variable that a template wants and does not get is an error, never an empty string.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property, lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
from jinja2 import meta

from experience_db.library import PLACES, TURNS, place_of, placed, wants_turns
from experience_db.templating import environment
from tfgrpo.errors import TemplateError, UnknownKey

SUFFIX = ".md.jinja"
HEADER = re.compile(r"\A(\{#.*?#\}\n)+", re.DOTALL)
"""What a template says to its authors."""
PLACES_LEFT = re.compile(r"\{%[^{}\n]*%\}\n?|\{\{[^{}\n]*\}\}")
"""What a template leaves to those who fill it in."""
SHOWN = re.compile(r'"text": "([^"\\{}]+)"')
"""The words of a lesson in a reply that a template shows as an example."""
REFERS = re.compile(r"\{%[-+]?\s*(include|import|from|extends)\b")
"""What a template that has parts holds: the others need not be parsed to know that they have none."""
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "summaries": ("never", "when-long", "always"),
        "consolidate": ("batch", "each", "join"),
        "reply": ("edits", "line"),
        "schema": ("json", "none"),
        "reflect": ("reflect", "groups"),
    }
)


@dataclass(frozen=True, slots=True)
class PromptSettings:
    """How a set of templates wants to be called; read from the set's `set.toml`."""

    summaries: str = "when-long"
    """Whether rollouts are summarised before the contrast: `never`, `when-long` (over the token share) or `always`."""
    consolidate: str = "batch"
    """`batch`: one call sees all proposals of the step. `each`: one call per proposal, in order. `join`: no call."""
    schema: str = "json"
    """`json`: ask endpoints to enforce the reply's schema. `none`: the model writes other lines before its JSON."""
    reply: str = "edits"
    """What a contrast is answered with: `edits` in JSON, or one plain `line`, which is a new lesson."""
    openings: str = ""
    """First words of a line, between `|`; the draws of a group take them in turn."""
    draws: int = 1
    """Candidate lessons drawn of a group."""
    temperature: float = 0.0
    """Of those draws, where the configuration says 0."""
    max_tokens: int = 2048
    """Limit of one reply."""
    line_tokens: int = 24
    """Limit of a reply of one line."""
    reflect: str = "reflect"
    """How a search mutates: `reflect` on one rollout of each problem of a minibatch, or contrast `groups`."""


@dataclass(frozen=True, slots=True)
class Template:
    """The text of one template and where it was found."""

    source: str
    path: Path


class Prompts:
    """The templates of one set. `load` makes it."""

    def __init__(self, templates: Mapping[str, Template], places: tuple[Path, ...], settings: PromptSettings) -> None:
        self.places = places
        self.settings = settings
        self._templates = dict(templates)
        self._hashes: dict[str, str] = {}
        # The rollouts of a group ask for the same text one after another.
        self._rendered_again = lru_cache(maxsize=256)(self._rendered)
        self._environment = environment(
            jinja2.DictLoader({name + SUFFIX: found.source for name, found in templates.items()})
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all templates, sorted: `consolidate/batch`, `contrast/group`, ..."""
        return tuple(sorted(self._templates))

    def has(self, name: str) -> bool:
        """Say whether there is such a template; some stages exist in some sets only."""
        return name in self._templates

    def render(self, name: str, **variables: Any) -> str:
        """Fill in a template; the text has no trailing newline.

        Raises:
            TemplateError: there is no such template, it is broken, or it wants a variable that was not given.
        """
        if all(type(value) is str for value in variables.values()):
            return self._rendered_again(name, **variables)
        return self._rendered(name, **variables)

    def _rendered(self, name: str, **variables: Any) -> str:
        found = self._found(name)
        try:
            return self._environment.get_template(name + SUFFIX).render(variables).rstrip("\n")
        except jinja2.UndefinedError as error:
            given = _list(sorted(variables)) or "nothing"
            raise TemplateError(f"{_where(name, found)}: {error.message}; it was given {given}") from error
        except (jinja2.TemplateError, TypeError, ValueError) as error:
            raise TemplateError(f"{_where(name, found)} cannot be rendered: {error}") from error

    def source(self, name: str) -> str:
        """Return the text of a template as it was read."""
        return self._found(name).source

    def block(self, place: str = "") -> str:
        """Return the template of the block of lessons as a library keeps it: without the comment for its authors.

        Args:
            place: `system` or `user_end`; empty is what the set says.

        Raises:
            BadTemplate: there is no such place.
        """
        source = self.source("lessons")
        wanted = place or place_of(source)
        bare = f"{TURNS if wants_turns(source) else ''}{HEADER.sub('', source)}"
        return bare if wanted == PLACES[0] else placed(bare, wanted)

    def path(self, name: str) -> Path:
        """Return the file that a template was read from."""
        return self._found(name).path

    def size(self, name: str) -> int:
        """Return the characters of a template and of all parts it includes, without the places for what varies.

        That is somewhat more than it says by itself: of words that stand in for one another all are counted.
        """
        return sum(len(PLACES_LEFT.sub("", HEADER.sub("", self.source(part)))) for part in self._parts(name))

    @cached_property
    def examples(self) -> frozenset[str]:
        """Words of the lessons that templates show as examples of a reply; a small model gives them back as its own."""
        return frozenset(text for found in self._templates.values() for text in SHOWN.findall(found.source))

    def hash(self, name: str) -> str:
        """Return 12 hex digits of the SHA-256 of a template and of all parts it includes."""
        if name not in self._hashes:
            sources = "\0".join(self.source(part) for part in self._parts(name))
            self._hashes[name] = hashlib.sha256(sources.encode()).hexdigest()[:12]
        return self._hashes[name]

    def variables(self, name: str) -> frozenset[str]:
        """Return the variables that a template and its parts use."""
        return frozenset().union(
            *(meta.find_undeclared_variables(self._environment.parse(self.source(part))) for part in self._parts(name))
        )

    def _found(self, name: str) -> Template:
        """Return a template, or say which names there are."""
        if name not in self._templates:
            known = _list(self.names)
            raise TemplateError(f"no prompt template {name!r}; looked in {_list(self.places)}, which hold {known}")
        return self._templates[name]

    def _parts(self, name: str) -> list[str]:
        """List a template and what it includes, directly or not, each once, in order of appearance."""
        parts = [name]
        for part in parts:
            source = self.source(part)
            found = meta.find_referenced_templates(self._environment.parse(source)) if REFERS.search(source) else ()
            included = [file.removesuffix(SUFFIX) for file in found if file]
            parts += [name for name in included if name not in parts]
        return parts


def load(set_name: str = "default", override: Path | None = None) -> Prompts:
    """Read a set of templates.

    Args:
        set_name: a folder beside `default`, for instance `paper` or `tiny`.
        override: a folder whose templates win over those of the set; it may hold a `set.toml` too.

    Raises:
        TemplateError: no such set or folder, or an override that is broken, unknown or asks for unknown variables.
        UnknownKey: `set.toml` has a key that does not exist.
    """
    shipped = _shipped(set_name)
    if override is None:
        return shipped
    own = _read_override(override)
    places = (override, *shipped.places)
    prompts = Prompts(shipped._templates | own, places, _settings(places[:2]))
    for name in own:
        _check_override(prompts, shipped, name)
    return prompts


@cache
def _shipped(set_name: str) -> Prompts:
    """Read a set of the package, once: its files do not change under a process."""
    root = templates_folder()
    if set_name not in set_names():
        raise TemplateError(f"no prompt set {set_name!r} in {root}; there are {_list(set_names())}")
    places = tuple(dict.fromkeys((root / set_name, root / "default")))
    shipped = {name: found for place in reversed(places) for name, found in _read_folder(place).items()}
    return Prompts(shipped, places, _settings(places[:1]))


def load_for_model(model: str, chosen: str | None = None, override: Path | None = None) -> Prompts:
    """Load the templates: those of `override` win, then the set of the configuration or of the model, then `default`.

    Args:
        model: a set named like it is its own; `local/...` models take `small`.
        chosen: the set that the configuration names, which wins over `small`.
        override: a folder of templates, or the name of a set, which then is the set.
    """
    if override is not None and str(override) in set_names() and not override.is_dir():
        return load(str(override))
    own = model.rsplit("/", 1)[-1]
    if own in set_names() and own != "default":
        return load(own, override)
    return load(chosen or ("small" if model.startswith("local/") else "default"), override)


def templates_folder() -> Path:
    """Return the folder of all sets: `_prompts` inside an installed package, else `prompts` beside it."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_prompts"
    return installed if installed.is_dir() else package.parent / "prompts"


def set_names() -> tuple[str, ...]:
    """Return the names of the sets that ship with the package."""
    return tuple(sorted(path.name for path in templates_folder().iterdir() if path.is_dir()))


def _where(name: str, found: Template) -> str:
    """Name a template for an error message."""
    return f"prompt template {name!r} ({found.path})"


def _list(values: Iterable[object]) -> str:
    """Join values for an error message."""
    return ", ".join(map(str, values))


def _read_folder(path: Path) -> dict[str, Template]:
    """Read all templates below a folder."""
    files = sorted(path.rglob(f"*{SUFFIX}"))
    return {file.relative_to(path).as_posix().removesuffix(SUFFIX): Template(_read(file), file) for file in files}


def _read(path: Path) -> str:
    """Read one file, with a sentence when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateError(f"prompt template {path} cannot be read as UTF-8 text: {error}") from error


def _read_override(path: Path) -> dict[str, Template]:
    """Read the user's templates; a name that nothing asks for is a mistake, not a wish. Own parts go to `parts/`."""
    if not path.is_dir():
        raise TemplateError(
            f"the prompt folder {path} does not exist or is no folder; the sets are {_list(set_names())}"
        )
    own = _read_folder(path)
    if not own and not (path / "set.toml").is_file():
        raise TemplateError(f"the prompt folder {path} holds neither a template (*{SUFFIX}) nor a set.toml")
    known = _known_names()
    for name in own:
        if name not in known and not name.startswith("parts/"):
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {_list(known)}"
            raise TemplateError(f"{own[name].path}: nothing asks for a prompt template {name!r}; {hint}")
    return own


@cache
def _known_names() -> tuple[str, ...]:
    """Return the names of the templates of all sets together."""
    return tuple(sorted({name for set_name in set_names() for name in _read_folder(templates_folder() / set_name)}))


def _check_override(prompts: Prompts, shipped: Prompts, name: str) -> None:
    """Find now what would fail at the first use: bad syntax, a missing part, a variable that is never given."""
    path = prompts.path(name)
    try:
        wanted = prompts.variables(name)
    except jinja2.TemplateSyntaxError as error:
        raise TemplateError(f"{path}, line {error.lineno}: {error.message}") from error
    if not shipped.has(name):
        return
    given = shipped.variables(name)
    if extra := sorted(wanted - given):
        raise TemplateError(f"{path} asks for {_list(extra)}; {name!r} is given {_list(sorted(given))}")


def _settings(places: tuple[Path, ...]) -> PromptSettings:
    """Read the first `set.toml` of the places; without one, the defaults."""
    path = next((place / "set.toml" for place in places if (place / "set.toml").is_file()), None)
    if path is None:
        return PromptSettings()
    try:
        values = tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise TemplateError(f"{path} is not valid TOML: {error}") from error
    known = [item.name for item in fields(PromptSettings)]
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {_list(known)}"
            raise UnknownKey(f"{path}: no key {key!r}; {hint}")
        if key in CHOICES and value not in CHOICES[key]:
            raise TemplateError(f"{path}: {key} = {value!r} is not one of {_list(CHOICES[key])}")
        default = getattr(PromptSettings(), key)
        if key not in CHOICES and (type(value) is not type(default) or (value != "" and not value >= type(default)(0))):
            raise TemplateError(f"{path}: {key} = {value!r} must be such as {default!r}")
    return PromptSettings(**values)
