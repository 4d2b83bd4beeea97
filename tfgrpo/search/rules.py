"""Names of a search's rules become functions: selector, sampler, acceptance; `package.module:attr` names own ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from tfgrpo import registry
from tfgrpo.config.search import SearchConfig
from tfgrpo.errors import UsageError
from tfgrpo.search import acceptance, components, pareto, sampler


@dataclass(frozen=True, slots=True)
class SearchRules:
    """The parts of a search that can be exchanged."""

    select: pareto.Selector
    sample: sampler.Sampler
    accept: acceptance.Acceptance
    component: components.ComponentSelector


def search_rules(config: SearchConfig) -> SearchRules:
    """Return the rules of a configuration.

    Raises:
        UnknownPlugin: no rule of that name.
        UsageError: a rule that is not callable, or a component that does not exist.
    """
    components.check_components(config)
    component = cast("components.ComponentSelector", _plugin("components", config.component))
    return SearchRules(_selector(config), _sampler(config.sampler), _acceptance(config.acceptance), component)


def _selector(config: SearchConfig) -> pareto.Selector:
    if config.selector in pareto.BUILTIN:
        return pareto.BUILTIN[config.selector](config.epsilon, config.top_k)
    return cast("pareto.Selector", _plugin("selectors", config.selector))


def _sampler(name: str) -> sampler.Sampler:
    return cast("sampler.Sampler", _plugin("samplers", name))


def _acceptance(name: str) -> acceptance.Acceptance:
    return cast("acceptance.Acceptance", _plugin("acceptances", name))


def _plugin(kind: str, name: str) -> object:
    found = registry.resolve(kind, name)
    if not callable(found):
        raise UsageError(f"{kind.removesuffix('s')} {name!r} is not callable; see docs/search.md for what it is given")
    return found
