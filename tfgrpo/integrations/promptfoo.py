"""promptfoo: the tests of a configuration as tasks, its deterministic assertions as grader.

    tfgrpo prove new-prompt.md --on promptfoo:promptfooconfig.yaml --model openai/gpt-5-mini

Of several prompts the first one is what the model is asked; the text under test goes into the system message. Of the
providers `models` names those that our engine can reach. Assertions that ask a model or run code are left out, and a
test that has no other is not a task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from tfgrpo.errors import UsageError
from tfgrpo.integrations.bridges import Bridge
from tfgrpo.readers import documents
from tfgrpo.readers.promptfoo import tests_of
from tfgrpo.readers.row import content_id, text_of
from tfgrpo.system.untrusted_json import loads
from tfgrpo.types import Problem, Rollout, Score

Check = Callable[[str, Any], bool]


def _json(answer: str, _: Any) -> bool:
    try:
        loads(answer)
    except ValueError:
        return False
    return True


CHECKS: Mapping[str, Check] = {
    "equals": lambda answer, value: answer.strip() == text_of(value).strip(),
    "contains": lambda answer, value: text_of(value) in answer,
    "icontains": lambda answer, value: text_of(value).lower() in answer.lower(),
    "contains-any": lambda answer, value: any(v in answer for v in _list(value)),
    "contains-all": lambda answer, value: all(v in answer for v in _list(value)),
    "icontains-any": lambda answer, value: any(v.lower() in answer.lower() for v in _list(value)),
    "icontains-all": lambda answer, value: all(v.lower() in answer.lower() for v in _list(value)),
    "starts-with": lambda answer, value: answer.startswith(text_of(value)),
    "regex": lambda answer, value: re.search(text_of(value), answer) is not None,
    "is-json": _json,
}
"""Assertions that need neither a model nor code; each also with `not-` in front."""


def bridge(address: str) -> Bridge:
    """Return the tests of a configuration as tasks; raises UsageError where none can be checked here."""
    document = documents.load(Path(address))
    value = document.value
    if not isinstance(value, Mapping) or not (tests := tests_of(document)):
        raise UsageError(f"{address} is no promptfoo configuration with tests")
    template = _prompt(value, Path(address).parent)
    default = value.get("defaultTest") if isinstance(value.get("defaultTest"), Mapping) else {}
    assert isinstance(default, Mapping)
    problems, checks = [], {}
    for test in tests:
        given = {**(default.get("vars") or {}), **(test.get("vars") or {})}
        own = [a for a in (*(default.get("assert") or ()), *(test.get("assert") or ())) if _known(a)]
        name = str(test.get("description") or content_id(given))
        # Several tests may share a description; the same variables again are the same task.
        name = f"{name} {content_id(given)}" if name in checks and test.get("description") else name
        if own and name not in checks:
            checks[name] = _filled(own, given)
            problems.append(Problem(name, _render(template, given, address)))
    if not problems:
        raise UsageError(f"{address}: no test has an assertion that can be checked without a model or code")
    return Bridge(tuple(problems), Assertions(checks))


def models(address: str) -> tuple[str, ...]:
    """Return the providers as model names of ours: `openai:chat:gpt-5-mini` is `openai/gpt-5-mini`."""
    value = documents.load(Path(address)).value
    found = []
    for provider in value.get("providers") or ():
        name = provider if isinstance(provider, str) else str(provider.get("id", ""))
        vendor, _, rest = name.partition(":")
        model = rest.rpartition(":")[2]
        if vendor and model:
            found.append(f"{vendor}/{model}")
    return tuple(found)


class Assertions:
    """The assertions of the tests as a grader: the weighted share of those that hold."""

    def __init__(self, checks: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self.checks = checks
        self.__name__ = "promptfoo"

    def __call__(self, problem: Problem, rollout: Rollout) -> Score:
        """Return the share of the weights whose assertion holds, naming those that do not."""
        total = got = 0.0
        broken = []
        for each in self.checks[problem.id]:
            weight = float(each.get("weight", 1.0))
            total += weight
            if _holds(each, rollout.answer):
                got += weight
            else:
                broken.append(str(each["type"]))
        return Score(got / total if total else None, f"not: {', '.join(broken)}" if broken else "", "promptfoo")


def _known(given: Any) -> bool:
    return isinstance(given, Mapping) and str(given.get("type", "")).removeprefix("not-") in CHECKS


def _holds(each: Mapping[str, Any], answer: str) -> bool:
    kind = str(each["type"])
    return CHECKS[kind.removeprefix("not-")](answer, each.get("value")) != kind.startswith("not-")


def _filled(checks: Sequence[Mapping[str, Any]], given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return assertions whose values have their variables filled in."""
    environment = _environment()

    def fill(value: Any) -> Any:
        return environment.from_string(value).render(given) if isinstance(value, str) and "{{" in value else value

    return [{**each, "value": fill(each.get("value"))} for each in checks]


def _prompt(value: Mapping[str, Any], folder: Path) -> str:
    prompts = value.get("prompts")
    first = prompts[0] if isinstance(prompts, list) and prompts else prompts
    if isinstance(first, Mapping):
        first = first.get("raw") or first.get("id")
    text = str(first or "")
    if text.startswith("file://"):
        file = folder / text.removeprefix("file://")
        if not file.is_file():
            raise UsageError(f"the prompt {file} is not there")
        return file.read_text(encoding="utf-8")
    return text


def _render(template: str, given: Mapping[str, Any], address: str) -> str:
    try:
        return _environment().from_string(template).render(given)
    except TemplateError as error:
        raise UsageError(f"{address}: the prompt cannot be filled in: {error}") from error


def _environment() -> Environment:
    return SandboxedEnvironment(autoescape=False)


def _list(value: Any) -> list[str]:
    return [text_of(v) for v in value] if isinstance(value, list) else [v.strip() for v in text_of(value).split(",")]
