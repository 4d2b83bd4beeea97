"""What models answer becomes a checked value or MalformedReply, and one bad operation costs that operation alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from experience_db import Edit, Op
from tfgrpo.errors import MalformedReply
from tfgrpo.prompting.json_repair import LONGEST, Found, cut_short, recover, recover_json, restore_latex
from tfgrpo.types import Failure, FailureKind

__all__ = ["EditsReply", "ParsedEdits", "edits_schema", "parse_edits", "parse_json", "parse_reply", "restore_latex"]

Model = TypeVar("Model", bound=BaseModel)

_ID = re.compile(r"[\s\[(#]*(?:lesson\s*|[A-Za-z]\s*)?(\d{1,18})[\s\])]*", re.IGNORECASE)
_NAMES = {
    "op": ("op", "operation"),
    "text": ("text", "content", "lesson", "experience"),
    "ids": ("ids", "id", "lesson_ids", "lesson_id"),
    "reason": ("reason", "why"),
    "when": ("when",),
    "when_not": ("when_not", "unless"),
    "scope": ("scope",),
    "attempts": ("attempts",),
}


class EditReply(BaseModel):
    """One proposed change, as asked for with a schema. Nothing is optional: strict structured outputs demand it."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    op: Literal["ADD", "UPDATE", "DELETE", "MERGE"]
    ids: list[int] = Field(description="Lessons it is about: none for ADD, one for UPDATE and DELETE, more for MERGE.")
    text: str | None = Field(description="The new words; null for DELETE.")
    reason: str
    attempts: list[int] = Field(description="Numbers of the attempts that show it.")
    when: str | None = Field(description="When the lesson applies, if the text does not say so itself.")
    when_not: str | None = Field(description="Where it does harm, if the attempts show that and the text does not.")
    scope: str | None = Field(description="The kind of problem it is for, if the text does not say so itself.")


class EditsReply(BaseModel):
    """The reply that asks for edits; `edits_schema()` serves as `Request.response_schema`."""

    model_config = ConfigDict(extra="forbid", defer_build=True)

    edits: list[EditReply] = Field(description="Empty when there is nothing to learn.")


MOST_NAMED = 64
"""Attempts or lessons that one edit may name."""


@lru_cache(maxsize=64)
def edits_schema(
    max_edits: int | None = None, max_chars: int | None = None, ids: tuple[int, ...] | None = None
) -> dict[str, Any]:
    """The JSON schema of EditsReply, bounded, so that a model which goes on for ever is stopped by the grammar.

    Args:
        max_edits: most edits; None has no limit.
        max_chars: most characters of a lesson, twice as many for its reason; None has no limit.
        ids: the lessons that there are; None leaves ids open.
    """
    schema = EditsReply.model_json_schema()
    edit = schema["$defs"]["EditReply"]["properties"]
    if max_edits is not None:
        schema["properties"]["edits"]["maxItems"] = max_edits
    if max_chars is not None:
        for name, most in (
            *((name, max_chars) for name in ("text", "when", "when_not", "scope")),
            ("reason", 2 * max_chars),
        ):
            # What may be null is a list of alternatives, the first of which is the text.
            edit[name].get("anyOf", [edit[name]])[0]["maxLength"] = most
        edit["attempts"]["maxItems"] = edit["ids"]["maxItems"] = MOST_NAMED
    if ids:
        edit["ids"]["items"]["enum"] = list(ids)
    elif ids is not None:
        edit["ids"]["maxItems"] = 0
        edit["op"]["enum"] = ["ADD"]
    return schema


@dataclass(frozen=True, slots=True)
class ParsedEdits:
    """The edits of one reply; `attempts` and `conditions` run parallel to `edits`."""

    edits: tuple[Edit, ...] = ()
    malformed: tuple[Failure, ...] = ()
    """One failure per operation that could not be used, saying which and why."""
    attempts: tuple[tuple[int, ...], ...] = ()
    """Per edit, the attempts it rests on, numbered as the model saw them."""
    conditions: tuple[str, ...] = ()
    """Per edit, when it applies; empty where the model said nothing apart from the text."""


def parse_json(text: str) -> Any:
    """The JSON value in a reply, whatever stands around it; how it is found is in `recover.recover_json`.

    Raises:
        MalformedReply: there is no JSON value in the text.
    """
    value = recover_json(text)
    if value is None:
        what = "an empty reply" if not text.strip() else "no JSON in the reply"
        what = what if len(text) <= LONGEST else f"a reply of more than {LONGEST:,} characters"
        raise MalformedReply(f"{what}; answer with one JSON value and nothing else", text)
    return value


def parse_reply(text: str, model: type[Model]) -> Model:
    """The reply as a validated object of `model`.

    Raises:
        MalformedReply: no JSON, or not of that shape; the message is short and may be shown to the model that wrote it.
    """
    value = parse_json(text)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise MalformedReply(_complaint(error), text) from error


def parse_edits(text: str, *, max_edits: int | None = None) -> ParsedEdits:
    """The edits of a reply of the form {"edits": [...]}, of a bare list, or of one edit.

    Each operation is read alone; NONE and KEEP are no edits. Operations beyond `max_edits` count as malformed, as does
    one in the middle of whose words the reply ends. A reply without any edit is a valid answer.

    Raises:
        MalformedReply: the reply holds neither a list of operations nor one operation.
    """
    edits: list[tuple[Edit, tuple[int, ...], str]] = []
    malformed: list[Failure] = []
    operations, earlier = _all_operations(text)
    if cut_short(text):
        lost = operations.pop()
        malformed.append(Failure(FailureKind.MALFORMED, f"the reply ends in the middle of {str(lost)[:80]!r}"))
    for number, operation in enumerate(operations, 1):
        try:
            room = max_edits is None or len(edits) < max_edits
            read = _read_operation(operation, None if room else max_edits)
        except MalformedReply as error:
            malformed.append(Failure(FailureKind.MALFORMED, f"edit {number}: {error}"))
            continue
        if read is not None:
            edits.append(read)
    malformed += [
        Failure(
            FailureKind.MALFORMED, f"{str(one)[:80]!r} stands in an earlier JSON value of the reply; the last counts"
        )
        for one in earlier
    ]
    columns = tuple(zip(*edits, strict=True)) or ((), (), ())
    return ParsedEdits(columns[0], tuple(malformed), columns[1], columns[2])


def _all_operations(text: str) -> tuple[list[Any], list[Any]]:
    """The operations of a reply, and those of its earlier JSON values that the last one does not repeat.

    Values that follow each other with nothing between (an edit a line), and single operations wherever they stand, are
    one list. Of whole lists with words between the last is meant, as after a draft.

    Raises:
        MalformedReply: there are none, or repairing the JSON would lose words.
    """
    found = recover(text)
    if not found:
        parse_json(text)
    meant = found[-1]
    if meant.lossy and not cut_short(text):
        raise MalformedReply(
            "the JSON is broken, and words of it would be lost; answer with valid JSON, quotes inside texts escaped",
            text,
        )
    operations = _operations(meant.value, text)
    others = [(one, listed) for one in found[:-1] if (listed := _listed(one.value))]
    single = all(isinstance(one.value, Mapping) and _get(one.value, "op") is not None for one in found)
    if single or _adjacent(found):
        ordered = sorted([*others, (meant, operations)], key=lambda pair: pair[0].start)
        return [each for _, listed in ordered for each in listed], []
    repeated = set(map(repr, operations))
    return operations, [each for _, listed in others for each in listed if repr(each) not in repeated]


def _adjacent(found: Sequence[Found]) -> bool:
    """Whether nothing but commas and white space stands between the values of a reply."""
    spans = sorted((each.start, each.end) for each in found)
    return all(each.text for each in found) and all(after[0] - before[1] <= 3 for before, after in pairwise(spans))


def _listed(value: Any) -> list[Any]:
    """The operations of one of several values; none where it is something else."""
    try:
        return _operations(value, "")
    except MalformedReply:
        return []


def _operations(value: Any, text: str) -> list[Any]:
    """The list of operations in a reply's value."""
    if isinstance(value, Mapping):
        for key in ("edits", "operations"):
            if isinstance(value.get(key), list):
                return list(value[key])
        if value.get("edits", 0) is None:
            return []
        if _get(value, "op") is not None:
            return [value]
    if isinstance(value, list):
        return value
    raise MalformedReply('no edits in the reply; answer {"edits": [...]}, with an empty list if there are none', text)


def _read_operation(operation: Any, full: int | None) -> tuple[Edit, tuple[int, ...], str] | None:
    """One operation as an edit with its attempts and its condition; None for NONE and KEEP.

    `full` is the number of edits allowed when there is no room for another.

    Raises:
        MalformedReply: it says what is wrong with this operation.
    """
    if not isinstance(operation, Mapping):
        raise MalformedReply(f"not an object: {str(operation)[:80]!r}")
    op = _op(_get(operation, "op"))
    if op is None:
        return None
    if full is not None:
        raise MalformedReply(f"more than {full} edits")
    text = _words(operation, "text") or None
    if text is None and op is not Op.DELETE:
        raise MalformedReply(f"{op} without text")
    ids = () if op is Op.ADD else _ids(_get(operation, "ids"))
    if op is Op.MERGE and len(ids) < 2:
        raise MalformedReply(f"MERGE of {len(ids)} lessons; name the ids of two or more")
    if op in (Op.UPDATE, Op.DELETE) and len(ids) != 1:
        raise MalformedReply(f"{op} of {len(ids)} lessons; name the id of one")
    if text is not None:
        text = bounded(text, _words(operation, "scope"), _words(operation, "when_not"))
    edit = Edit(op, None if op is Op.DELETE else text, ids, _words(operation, "reason"))
    return edit, _attempts(_get(operation, "attempts")), _words(operation, "when")


def bounded(text: str, scope: str, when_not: str) -> str:
    """Return a lesson with its scope and its boundary in its words: what is stored must say where it holds.

    What the text says already is not said again.
    """
    if scope and scope.casefold() not in text.casefold():
        text = f"In {scope.rstrip(' .,:;')}: {text}"
    if when_not and when_not.casefold() not in text.casefold():
        text = f"{text.rstrip(' .;')}, but not when {when_not.removeprefix('when ').rstrip(' .,:;')}."
    return text


def _op(name: Any) -> Op | None:
    """The operation of that name, in either case; None for NONE and KEEP."""
    upper = name.strip().upper() if isinstance(name, str) else ""
    if upper in ("NONE", "KEEP"):
        return None
    if upper not in Op.__members__:
        given = "no op" if name is None else f"unknown op {str(name)[:40]!r}"
        raise MalformedReply(f"{given}; one of {', '.join(Op.__members__)}")
    return Op[upper]


def _get(operation: Mapping[str, Any], field: str) -> Any:
    """The value of a field under any of its names."""
    return next((operation[name] for name in _NAMES[field] if operation.get(name) is not None), None)


def _words(operation: Mapping[str, Any], field: str) -> str:
    """The text of a field, stripped; empty when it is not there.

    Raises:
        MalformedReply: the field holds something else.
    """
    value = _get(operation, field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedReply(f"{field} is no string: {str(value)[:80]!r}")
    # Half a surrogate pair can be neither stored nor sent.
    return value.strip().encode("utf-8", "replace").decode()


def _ids(value: Any) -> tuple[int, ...]:
    """Lesson ids in the order given, each once: numbers, "3", "[3]", "L3", alone or in a list."""
    items = value if isinstance(value, list) else [] if value is None else [value]
    return tuple(dict.fromkeys(map(_number, items)))


def _attempts(value: Any) -> tuple[int, ...]:
    """Attempt numbers; what is no number is left out, for they only point at the sources."""
    items = value if isinstance(value, list) else [value]
    read = []
    for item in items:
        try:
            read.append(_number(item))
        except MalformedReply:
            continue
    return tuple(dict.fromkeys(read))


def _number(item: Any) -> int:
    """One id or attempt number.

    Raises:
        MalformedReply: it is no number.
    """
    match = _ID.fullmatch(str(item)) if isinstance(item, int | str) and not isinstance(item, bool) else None
    if match is None:
        raise MalformedReply(f"{str(item)[:40]!r} is no lesson id")
    return int(match[1])


def _complaint(error: ValidationError) -> str:
    """The first faults of a validation in a few lines that a model can act on."""
    faults = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [f"{'.'.join(map(str, fault['loc'])) or 'reply'}: {fault['msg']}" for fault in faults[:4]]
    more = [f"and {len(faults) - 4} more"] if len(faults) > 4 else []
    return "; ".join([*lines, *more])
