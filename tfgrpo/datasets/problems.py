"""Rows become problems, or the command ends: every row is checked, with file, line and fault, before anything else."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tfgrpo.datasets.chats import REFERENCES, chat_column, is_chat, question_and_reply
from tfgrpo.datasets.named import NAMED_SETS, NamedSet, copy_fault
from tfgrpo.datasets.overlap import words_of
from tfgrpo.datasets.rows import file_rows, hub_rows, json_kind
from tfgrpo.errors import BadRow, UsageError
from tfgrpo.types import Problem

_QUESTION_KEYS = ("question", "prompt", "problem")
_KEYS = ("question", "answer", "id", "metadata")


def load(
    spec: str | Path, *, fields: Mapping[str, str] | None = None, limit: int | None = None, folder: Path | None = None
) -> tuple[Problem, ...]:
    """Problems of a JSONL or CSV file, of `hf:owner/name[/subset][:split]`, or of a named set.

    `fields` names the source column of `question`, `answer`, `id` or `metadata`; dots reach into objects. All rows are
    checked; then the first `limit` are returned. `folder` is where local copies of named sets are looked for.

    Raises:
        BadRow: a row is no object, has no question, a wrong type, or an id that was there before.
        UsageError: nothing of that name, an empty file, an unknown field, or the extra `hf` is not installed.
    """
    fields = _known_fields(fields)
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}; give at least 1")
    named = NAMED_SETS.get(str(spec))
    if named is not None and not Path(spec).is_file():
        problems = load_named(named, fields, folder)
    else:
        also = f"one of {', '.join(sorted(NAMED_SETS))}"
        rows = hub_rows(str(spec)[3:]) if str(spec).startswith("hf:") else file_rows(Path(spec), also)
        problems = _problems(rows, fields, str(spec))
    return problems[:limit]


def _known_fields(fields: Mapping[str, str] | None) -> dict[str, str]:
    unknown = sorted(set(fields or {}) - set(_KEYS))
    if unknown:
        raise UsageError(f"unknown field {unknown[0]!r}; fields that can be mapped: {', '.join(_KEYS)}")
    return dict(fields or {})


def from_rows(
    rows: Iterable[Problem | Mapping[str, Any]], fields: Mapping[str, str] | None = None
) -> tuple[Problem, ...]:
    """Problems that a program already holds: Problem objects pass, mappings are checked like the rows of a file.

    `fields` is as in `load`.

    Raises:
        BadRow: a row without a question, of a wrong type, or with an id that was there before.
        UsageError: there are none.
    """
    numbered = ((f"row {number}", row) for number, row in enumerate(rows, 1))
    return _problems(numbered, _known_fields(fields), "the dataset")


def problems_from(
    given: Any, fields: Mapping[str, str] | None = None, folder: Path | None = None
) -> tuple[Problem, ...]:
    """Return problems from a path, a named dataset, Problem objects or plain dicts; errors as of `load`."""
    return load(str(given), fields=fields, folder=folder) if isinstance(given, str | Path) else from_rows(given, fields)


def local_copy(named: NamedSet, folder: Path | None) -> Path | None:
    """The local file of a named set, if there is one in `folder`."""
    names = (f"{named.name}.jsonl", *named.files)
    return next((folder / name for name in names if (folder / name).is_file()), None) if folder else None


def content_hash(problems: Iterable[Problem]) -> str:
    """A hash of everything in the problems and of their order, as 16 hex digits."""
    rows = (json.dumps([p.id, p.question, p.answer, p.metadata], sort_keys=True, default=str) for p in problems)
    return digest(*rows)


def load_named(named: NamedSet, fields: Mapping[str, str], folder: Path | None) -> tuple[Problem, ...]:
    """A named set from a local copy if there is one, else from the hub; its rows are counted and its content hashed.

    Raises:
        UsageError: another number of rows, or other problems than those that were checked once.
    """
    local = local_copy(named, folder)
    where = named.address if local is None else str(local)
    rows = list(hub_rows(named.address[3:]) if local is None else file_rows(local))
    if len(rows) != named.rows:
        raise UsageError(
            f"{where} has {len(rows)} rows, but {named.name} has {named.rows}; to use it as it is, give its path"
        )
    columns = rows[0][1]
    own = {key: column for key, column in (("question", named.question), ("answer", named.answer)) if column in columns}
    problems = _problems(rows, {**own, **fields}, where, named.answer_after)
    answers, words = marks(problems)
    if wrong := copy_fault(named, answers, words, local=local is not None):
        raise UsageError(f"{where} {wrong}; to use it as it is, give its path or its hf: address")
    return tuple(problems)


@dataclass(frozen=True, slots=True)
class Copy:
    """Whether a named set can be used here, and how to get it where it cannot."""

    named: NamedSet
    state: str
    """`checked`, `counted` (no hash is on record), `broken`, `hub` (it can be fetched) or `missing`."""
    said: str

    @property
    def there(self) -> bool:
        """Whether a usable local copy was found."""
        return self.state in ("checked", "counted")


def inventory(folder: Path | None) -> tuple[Copy, ...]:
    """Every named set, with what `folder` holds of it; local copies are counted and hashed, nothing is fetched."""
    return tuple(_copy(NAMED_SETS[name], folder) for name in sorted(NAMED_SETS))


def _copy(named: NamedSet, folder: Path | None) -> Copy:
    local = local_copy(named, folder)
    if local is not None:
        try:
            load_named(named, {}, folder)
        except UsageError as error:
            return Copy(named, "broken", f"local copy {local} cannot be used: {error}")
        if named.words_mark:
            return Copy(named, "checked", f"local copy {local}, rows counted and content hashed")
        return Copy(named, "counted", f"local copy {local}, rows counted; no hash of it is on record")
    place = f"{named.file} in {folder}" if folder else f"{named.file} in a folder that TFGRPO_DATA names"
    if find_spec("datasets") is None:
        return Copy(named, "missing", f"from the hub: {named.hub_id}, with pip install 'tfgrpo[hf]'; or put {place}")
    return Copy(named, "hub", f"from the hub: {named.hub_id}, when it is used; or put {place}")


def marks(problems: Iterable[Problem]) -> tuple[str, str]:
    """Hashes that tell a dataset whatever its order, ids and typography: of its answers, and of questions too."""
    rows = [(p.answer or "", " ".join(words_of(p.question))) for p in problems]
    return digest(*sorted(answer for answer, _ in rows)), digest(*(part for row in sorted(rows) for part in row))


def _problems(
    rows: Iterable[tuple[str, Problem | Mapping[str, Any]]],
    fields: Mapping[str, str],
    source: str,
    answer_after: str = "",
) -> tuple[Problem, ...]:
    """All rows as problems with unique ids."""
    rows = list(rows)
    _require_columns([row for _, row in rows if isinstance(row, Mapping)], fields, source)
    problems = []
    seen: dict[str, str] = {}
    for where, row in rows:
        problem = row if isinstance(row, Problem) else _problem(where, row, fields, answer_after)
        if problem.id in seen:
            hashed = problem.id == digest(problem.question, problem.answer or "")
            what = "question and answer" if hashed else f"id {problem.id!r}"
            raise BadRow(f"{where}: same {what} as in {seen[problem.id]}; give each row an id of its own")
        seen[problem.id] = where
        problems.append(problem)
    if not problems:
        raise UsageError(f"{source} holds no rows; expected one problem a line")
    return tuple(problems)


def _require_columns(rows: Sequence[Mapping[str, Any]], fields: Mapping[str, str], source: str) -> None:
    """Refuse a mapping to a column that no row has; a question that is missing is told with its row."""
    for key, column in fields.items():
        if key == "question" or not rows or any(_pick(row, column) is not None for row in rows):
            continue
        names = list(dict.fromkeys(str(name) for row in rows[:100] for name in row))
        near = difflib.get_close_matches(column, names, 1, 0.6)
        meant = f"; did you mean --field {key}={near[0]}?" if near else f"; give one of them: --field {key}=COLUMN"
        raise UsageError(
            f"--field {key}={column}: {source} has no column {column!r} with anything in it, but "
            f"{', '.join(names[:12])}{meant}"
        )


def _problem(where: str, row: object, fields: Mapping[str, str], answer_after: str) -> Problem:
    """One row as a problem."""
    if not isinstance(row, Mapping):
        raise BadRow(f"{where}: {type(row).__name__}, not a Problem or a mapping")
    question_key, question, replied = _question(where, row, fields)
    answer_key, id_key, metadata_key = (fields.get(key, key) for key in _KEYS[1:])
    chat = replied is not None or question_key == chat_column(row)
    if chat and "answer" not in fields:
        answer_key = next((key for key in REFERENCES if _pick(row, key) is not None), answer_key)
    answer = _text(where, answer_key, _reference(_pick(row, answer_key)) if chat else _pick(row, answer_key))
    answer = replied if answer is None and "answer" not in fields else answer
    if answer is not None and answer_after in answer and answer_after:
        answer = answer.rpartition(answer_after)[2].strip().replace(",", "")
    metadata = _pick(row, metadata_key)
    if metadata is not None and not isinstance(metadata, dict):
        raise BadRow(f"{where}: {metadata_key!r} is {json_kind(metadata)}; metadata must be an object")
    used = {question_key, answer_key, id_key, metadata_key}
    extra = {key: value for key, value in row.items() if key not in used}
    id = _text(where, id_key, _pick(row, id_key)) or digest(question, answer or "")
    return Problem(id, question, answer, {**extra, **(metadata or {})})


def _question(where: str, row: Mapping[str, Any], fields: Mapping[str, str]) -> tuple[str, str, str | None]:
    """Return the column that holds the question, the question, and the reply that ends a conversation."""
    key = fields.get("question") or next(
        (key for key in _QUESTION_KEYS if row.get(key) is not None), chat_column(row) or "question"
    )
    question = _pick(row, key)
    if question is None:
        has = ", ".join(map(repr, list(row)[:8])) or "no keys"
        raise BadRow(f"{where}: no {key!r}; the row has {has}{_nearest(key, row)}")
    replied = None
    if is_chat(question):
        question, replied = question_and_reply(question)
    if not isinstance(question, str):
        raise BadRow(f"{where}: {key!r} is {json_kind(question)}; a question must be a string, or a list of messages")
    if not question.strip():
        raise BadRow(f"{where}: {key!r} is empty")
    return key, question, replied


def _nearest(key: str, row: Mapping[str, Any]) -> str:
    """The end of a message about a column that is not there: the one that was probably meant."""
    near = difflib.get_close_matches(key, [str(name) for name in row], 1, 0.6)
    if near:
        return f" (did you mean --field question={near[0]}?)"
    return " (map another with --field question=NAME; `tfgrpo datasets show FILE` proposes one)"


def _reference(value: Any) -> Any:
    """The reference of a conversation: the text of a reply, or the only one of a list."""
    if is_chat(value):
        return question_and_reply(value)[1]
    if isinstance(value, list) and len(value) == 1:
        return value[0]
    return value


STEP = re.compile(r"\.|\[(-?\d+)\]")


def _pick(row: Mapping[str, Any], key: str) -> Any:
    """The value of a column, or of a path with dots and places in lists: `messages.-1.content`, `prompt[0].content`."""
    if key in row:
        return row[key]
    value: Any = row
    for part in filter(None, STEP.split(key)):
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdecimal() and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def _text(where: str, key: str, value: Any) -> str | None:
    """A string, or a number exactly as it was written; nothing and white space are None."""
    if value is None or isinstance(value, str):
        return value if value and value.strip() else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRow(f"{where}: {key!r} is {json_kind(value)}; write it as a string")
    return str(value)


def digest(*parts: str) -> str:
    """16 hex digits of SHA-256 over the parts, kept apart by their lengths."""
    joined = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.sha256(joined.encode()).hexdigest()[:16]
