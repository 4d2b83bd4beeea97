"""What the template of a library may do: show lessons, within limits on time and size, and nothing else.

A template travels with a library that somebody gives away, and ends in the system prompt of an agent. So it is read
before it is rendered: no calls, no assignments, no arithmetic, no names but `lessons`. A *plain* template shows every
word it has in every rendering; one with conditions of its own needs a permission, for what it says of one lesson may
differ from what it says of two, and `renderings` lists all that it can say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import product
from typing import Any

from jinja2 import Template, TemplateError, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from experience_db.errors import BadTemplate
from experience_db.templating import environment

LONGEST_SOURCE = 20_000
"""Characters of a template."""
_TAG = re.compile(r"[\w-]{1,40}")
"""A tag of a fence: one word."""
MOST_STEPS = 200_000
"""Turns of all loops in one rendering; ten thousand lessons take as many."""
MOST_CHARACTERS = 4_000_000
"""Characters of one rendering."""
MOST_VARIANTS = 256
"""Different texts that the conditions of a template may choose from."""
FIELDS = frozenset({"id", "text"})
"""What a template may read of a lesson."""
FILTERS = frozenset({"line", "fence", "length", "count", "trim"})
MORE_FILTERS = FILTERS | {"upper", "lower", "first", "last", "default", "d", "escape", "e", "string", "list"}

_PLAIN = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.FilterBlock, nodes.Filter, nodes.Name,
    nodes.Getattr, nodes.Const, nodes.EvalContextModifier, nodes.ScopedEvalContextModifier, nodes.Keyword,
)  # fmt: skip
_MORE = (
    *_PLAIN, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.Test, nodes.Getitem,
)  # fmt: skip


def compiled(template: str) -> Template:
    """Return a template whose loops are counted. Raises BadTemplate for what no template may do."""
    return _compiled(template)


def rendered(template: str, lessons: Sequence[object]) -> str:
    """Render a library's template within the limits. Raises BadTemplate."""
    pieces: list[str] = []
    room = MOST_CHARACTERS
    try:
        for piece in _compiled(template).generate(lessons=lessons, budget_=[MOST_STEPS]):
            room -= len(piece)
            if room < 0:
                break
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
        raise BadTemplate(_words(error)) from error
    if room < 0:
        raise BadTemplate(_words(f"it makes more than {MOST_CHARACTERS:,} characters"))
    return "".join(pieces).rstrip("\n")


def require_plain(template: str) -> None:
    """Raise BadTemplate unless a template shows all its words in every rendering of one lesson or more."""
    tree = _parsed(template)
    _check(tree, _PLAIN, FILTERS)
    for condition in tree.find_all(nodes.If):
        bare = isinstance(condition.test, nodes.Name) and condition.test.name == "lessons"
        if not bare or condition.else_ or condition.elif_:
            raise BadTemplate(_needs(f"its line {condition.lineno} has a condition"))
    for loop in tree.find_all(nodes.For):
        if any(inner is not loop for inner in loop.find_all(nodes.For)) or loop.else_ or loop.test:
            raise BadTemplate(_needs(f"its line {loop.lineno} has more than a plain loop"))


def renderings(template: str) -> tuple[str, ...]:
    """Return every text that a template can put around its lessons, one for each choice of its conditions.

    Loops run once and twice, lessons are left blank. Raises BadTemplate where there are too many.
    """
    return tuple(dict.fromkeys(_variants(_parsed(template).body)))


@lru_cache(maxsize=64)
def _compiled(template: str) -> Template:
    tree = _parsed(template)
    _check(tree, _MORE, MORE_FILTERS)
    made = environment()
    made.filters["counted_"] = _counted
    for loop in tree.find_all(nodes.For):
        loop.iter = nodes.Filter(loop.iter, "counted_", [], [], None, None, lineno=loop.lineno)
    tree.set_environment(made)
    try:
        return made.from_string(tree)
    except (TemplateError, SyntaxError, RecursionError) as error:
        raise BadTemplate(_words(error)) from error


@pass_context
def _counted(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    """The items of a loop, as long as the rendering has steps left."""
    budget = context["budget_"]
    for item in items:
        budget[0] -= 1
        if budget[0] < 0:
            raise BadTemplate(_words(f"its loops take more than {MOST_STEPS:,} turns"))
        yield item


def _parsed(template: str) -> nodes.Template:
    if len(template) > LONGEST_SOURCE:
        raise BadTemplate(_words(f"it has {len(template):,} characters; at most {LONGEST_SOURCE:,} are allowed"))
    try:
        return _parser().parse(template)
    except (TemplateError, RecursionError, ValueError) as error:
        raise BadTemplate(_words(error)) from error


@lru_cache(maxsize=1)
def _parser() -> SandboxedEnvironment:
    return environment()


def _check(tree: nodes.Template, allowed: tuple[type[nodes.Node], ...], filters: frozenset[str]) -> None:
    """Refuse nodes, names, fields and filters that a template of lessons has no use for."""
    targets = {name.name for loop in tree.find_all(nodes.For) for name in _targets(loop.target)}
    unseen = _unseen(tree)
    for node in tree.find_all(nodes.Node):
        kind = type(node).__name__
        if not isinstance(node, allowed):
            why = f"its line {node.lineno} uses {kind}"
            raise BadTemplate(_needs(why) if isinstance(node, _MORE) else _words(why))
        if isinstance(node, nodes.Name) and node.name not in targets | {"lessons", "loop"}:
            raise BadTemplate(
                _words(f"{node.name!r} is undefined; there are only `lessons`, each with `id` and `text`")
            )
        if isinstance(node, nodes.Getattr) and node.attr not in FIELDS and not _of_loop(node):
            raise BadTemplate(_words(f"a lesson has no {node.attr!r} for templates, only `id` and `text`"))
        if isinstance(node, nodes.Filter) and node.name not in filters:
            raise BadTemplate(_needs(f"it uses the filter {node.name!r}"))
        if isinstance(node, nodes.For) and (node.recursive or not isinstance(node.iter, nodes.Name)):
            raise BadTemplate(_words(f"its line {node.lineno} loops over something else than lessons"))
        if isinstance(node, nodes.Output) and any(isinstance(part, nodes.Const) for part in node.nodes):
            raise BadTemplate(_words(f"its line {node.lineno} puts text in an expression; write it as text"))
        if isinstance(node, nodes.Const) and isinstance(node.value, str) and id(node) not in unseen:
            raise BadTemplate(_words(f"its line {node.lineno} puts text in an expression; write it as text"))


def _unseen(tree: nodes.Template) -> set[int]:
    """Ids of the constants that no rendering shows: in conditions, as names of fields, as the tag of a fence.

    What a rendering shows of any other one would be in none of the texts that `renderings` gives to a scanner.
    """
    places: list[nodes.Node] = [one.test for one in tree.find_all(nodes.If)]
    places += [one.test for one in tree.find_all(nodes.CondExpr)]
    places += [loop.test for loop in tree.find_all(nodes.For) if loop.test]
    places += [item.arg for item in tree.find_all(nodes.Getitem)]
    for used in tree.find_all(nodes.Filter):
        if used.name == "fence":
            places += [tag for tag in used.args if isinstance(tag, nodes.Const) and _TAG.fullmatch(str(tag.value))]
    found = [const for place in places for const in (place, *place.find_all(nodes.Const))]
    return {id(const) for const in found if isinstance(const, nodes.Const)}


def _targets(target: nodes.Node) -> list[nodes.Name]:
    return [target] if isinstance(target, nodes.Name) else list(target.find_all(nodes.Name))


def _of_loop(node: nodes.Getattr) -> bool:
    known = {"index", "index0", "first", "last", "length", "revindex", "revindex0"}
    return isinstance(node.node, nodes.Name) and node.node.name == "loop" and node.attr in known


def _variants(body: Sequence[nodes.Node]) -> list[str]:
    """Every text that some nodes can make, one after the other."""
    texts = [""]
    for node in body:
        texts = [a + b for a, b in product(texts, _choices(node))]
        texts = list(dict.fromkeys(texts))
        if len(texts) > MOST_VARIANTS:
            raise BadTemplate(_words(f"it can say more than {MOST_VARIANTS} different things"))
    return texts


def _choices(node: nodes.Node) -> list[str]:
    """Every text that one node can make."""
    if isinstance(node, nodes.Output):
        return ["".join(part.data for part in node.nodes if isinstance(part, nodes.TemplateData))]
    if isinstance(node, nodes.If):
        return [
            *_variants(node.body),
            *(text for other in node.elif_ for text in _choices(other)),
            *_variants(node.else_),
        ]
    if isinstance(node, nodes.For):
        once = _variants(node.body)
        if len(once) ** 2 > MOST_VARIANTS:
            raise BadTemplate(_words(f"it can say more than {MOST_VARIANTS} different things"))
        return [*once, *(a + b for a, b in product(once, once)), *_variants(node.else_)]
    if isinstance(node, nodes.FilterBlock):
        return _variants(node.body)
    return [""]


def _words(why: object) -> str:
    return f"the lessons template cannot be rendered: {why}; correct it where it was set"


def _needs(why: str) -> str:
    return (
        f"the lessons template does more than show lessons: {why}; look at it, then allow it with `--allow template`, "
        "or bring in the lessons alone"
    )
