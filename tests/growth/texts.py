"""Texts that make a careless pattern slow: long runs of what it repeats, behind its beginning, before a mismatch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from re import _constants as c  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

GENERAL = (
    " ", "\n", "a", "A ", "1", "1,", "1 ", "-", "a-", ".", "a.", "_", "(", "[", "{", "}", "<", "&",
    "\\", '"', "'", '{"a":',
    "[1,", "<think>", "</think>", "```\n", "\\boxed{", "\\frac{", "$", "**", "the answer is ",
    "not ", "A, ", "和", "=",
    "a b. ", '"a ', "[[", "a\n", "> ", "- a\n", "é", "\u200b", "a@", "www.", "http://", "%", "!",
    "1/", "1 1/2 ", "x^",
)  # fmt: skip
"""Pieces that are repeated for everything."""
END = "\x00!"
MANY = 100
"""Repeats up to this count are bounded and make no growth."""


def attacks(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """Yield (head, piece, tail): the text is the head, many pieces, and the tail that matches nothing."""
    try:
        tree = _parser.parse(pattern.pattern, pattern.flags)
    except re.error:
        return
    seen = set()
    for head, piece in _repeats(tree, ""):
        for each in ((head, piece, END), ("", head + piece, END), ("", piece, END), (head, piece, "")):
            if each not in seen and (each[1] or each[0]):
                seen.add(each)
                yield each


def _repeats(tree: Any, before: str) -> Iterator[tuple[str, str]]:
    """Every unbounded repeat of a pattern: an example of what stands before it, and of what it repeats."""
    said = before
    for op, value in tree:
        if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            _, high, item = value
            if high > MANY:
                for choice in _examples(item):
                    yield said, choice
            yield from _repeats(item, said)
        elif op is c.BRANCH:
            for branch in value[1]:
                yield from _repeats(branch, said)
        elif op in (c.SUBPATTERN, c.ATOMIC_GROUP):
            yield from _repeats(value[-1] if op is c.SUBPATTERN else value, said)
        elif op in (c.ASSERT, c.ASSERT_NOT):
            yield from _repeats(value[1], said)
        said += next(_examples([(op, value)]), "")


def _examples(tree: Any, most: int = 3) -> Iterator[str]:
    """A few texts that a part of a pattern matches."""
    texts = [""]
    for op, value in tree:
        choices = _one(op, value)[:most]
        texts = [a + b for a in texts for b in choices][:most] if choices else texts
    yield from dict.fromkeys(texts)


def _one(op: Any, value: Any) -> list[str]:  # noqa: PLR0911 - one line for each kind of node
    if op is c.LITERAL:
        return [chr(value)]
    if op is c.NOT_LITERAL:
        return [next(x for x in "a b1" if x != chr(value))]
    if op is c.ANY:
        return ["a", " "]
    if op is c.IN:
        return _of_class(value)
    if op in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
        low, _, item = value
        return [text * max(low, 1) for text in _examples(item)] + ([""] if low == 0 else [])
    if op is c.BRANCH:
        return [text for branch in value[1] for text in _examples(branch, 1)]
    if op is c.SUBPATTERN:
        return list(_examples(value[-1]))
    if op is c.ATOMIC_GROUP:
        return list(_examples(value))
    return []


def _of_class(items: Any) -> list[str]:
    """Signs that a class holds: of the first few parts, or outside of a negated one."""
    tested = re.compile(_class_source(items))
    wanted = [x for x in " \n\ta1A.,-_:;/\\(){}[]<>\"'|*#=+%$&@!?~`^é和\u200b" if tested.fullmatch(x)]
    for op, value in items:
        if op is c.RANGE and chr(value[0]) not in wanted:
            wanted.append(chr(value[0]))
        if op is c.LITERAL and items[0][0] is not c.NEGATE and chr(value) not in wanted:
            wanted.append(chr(value))
    return wanted[:2] + wanted[-1:]


def _class_source(items: Any) -> str:
    source = ""
    for op, value in items:
        if op is c.NEGATE:
            source += "^"
        elif op is c.LITERAL:
            source += re.escape(chr(value))
        elif op is c.RANGE:
            source += f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
        elif op is c.CATEGORY:
            source += {
                c.CATEGORY_DIGIT: r"\d", c.CATEGORY_NOT_DIGIT: r"\D", c.CATEGORY_SPACE: r"\s",
                c.CATEGORY_NOT_SPACE: r"\S", c.CATEGORY_WORD: r"\w", c.CATEGORY_NOT_WORD: r"\W",
            }[value]  # fmt: skip
    return f"[{source}]"
