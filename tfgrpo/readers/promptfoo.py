"""promptfoo: results of `promptfoo eval -o out.json|jsonl|yaml|csv` (schema 2 to 4), and configurations."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tfgrpo.readers.documents import Document, load
from tfgrpo.readers.row import Row, content_id, flatten_numbers, float_or_none, number, numbered, sum_counts, text_of

ERROR = 2
"""`failureReason` of a result whose call broke; 1 is an assertion that did not hold, which is a score."""
QUESTION_KEYS = ("question", "prompt", "query", "input", "message", "text", "body", "topic")
NUMBERED = re.compile(r"Row #\d+")
"""What promptfoo calls a test of a file by itself; the same words are another test once a line was put in."""
STATES = ("PASS", "FAIL", "ERROR")
ANSWER_TYPES = ("equals", "contains", "icontains", "is-json", "regex", "starts-with")


def matches(document: Document) -> bool:
    """Say whether these are promptfoo's results."""
    return bool(_results(document) or _columns(document))


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per test, prompt and provider; the arm is what differs: prompt, provider, or both."""
    if columns := _columns(document):
        return numbered(row for line in document.objects for row in _cells(line, columns))
    found = _results(document)
    prompts = {_prompt(result) for result in found}
    providers = {_provider(result) for result in found}
    read = _told_apart([_row(result) for result in found], [_variables(result) for result in found])
    named = [
        replace(row, arm=_arm(result, several_prompts=len(prompts) > 1, several_providers=len(providers) > 1))
        for row, result in zip(read, found, strict=True)
    ]
    return numbered(named)


def matches_config(document: Document) -> bool:
    """Say whether this is a promptfoo configuration."""
    value = document.value
    return isinstance(value, Mapping) and "prompts" in value and ("tests" in value or "providers" in value)


def config_rows(document: Document) -> tuple[Row, ...]:
    """Return a row per test of a configuration, without a score: variables are the question, `equals` the answer."""
    return tuple(_task(test) for test in tests_of(document))


def tests_of(document: Document) -> tuple[Mapping[str, Any], ...]:
    """Return the tests of a configuration, also those of files that it names, in JSON, JSONL, YAML or CSV.

    A sheet has a variable in each column; `__expected` is the assertion, `KIND: VALUE` or what the answer must equal.
    """
    given = document.value.get("tests")
    found: list[Mapping[str, Any]] = []
    for test in given if isinstance(given, list) else [given]:
        if isinstance(test, Mapping):
            found.append(test)
        elif isinstance(test, str) and test.startswith("file://"):
            inner = load(document.path.parent / test.removeprefix("file://"))
            rows = inner.value if isinstance(inner.value, list) else inner.objects
            table = inner.path.suffix.lower() == ".csv"
            found += [_sheet_test(row) if table else row for row in rows if isinstance(row, Mapping)]
    return tuple(found)


def _sheet_test(row: Mapping[str, Any]) -> Mapping[str, Any]:
    given = {k: v for k, v in row.items() if k and not k.startswith("__")}
    checks = []
    for expected in (v for k, v in row.items() if k and k.startswith("__expected") and v):
        kind, colon, value = str(expected).partition(":")
        plain = not colon or not re.fullmatch(r"(not-)?[a-z]+(-[a-z]+)*", kind)
        checks.append({"type": "equals", "value": expected} if plain else {"type": kind, "value": value.strip()})
    described = {"description": row["__description"]} if row.get("__description") else {}
    return {"vars": given, "assert": checks, **described}


def _task(test: Mapping[str, Any]) -> Row:
    given = test.get("vars") or {}
    asserts = [a for a in test.get("assert") or () if isinstance(a, Mapping)]
    answers = [text_of(a.get("value")) for a in asserts if a.get("type") in ANSWER_TYPES and a.get("value") is not None]
    return Row(_id(test, given), question=_question(given), answer=answers[0] if answers else None)


def _results(document: Document) -> Sequence[Mapping[str, Any]]:
    value: Any = document.value
    if document.kind in ("json", "yaml") and isinstance(value, Mapping):
        inner = value.get("results")
        value = inner.get("results") if isinstance(inner, Mapping) else inner
    elif document.kind == "lines":
        value = document.values
    if not isinstance(value, Sequence) or isinstance(value, str):
        return ()
    wanted = ("success", "score")
    return [
        r for r in value if isinstance(r, Mapping) and all(k in r for k in wanted) and ("vars" in r or "testIdx" in r)
    ]


def _row(result: Mapping[str, Any]) -> Row:
    test = result.get("testCase") if isinstance(result.get("testCase"), Mapping) else {}
    assert isinstance(test, Mapping)
    given = _variables(result)
    response = result.get("response") if isinstance(result.get("response"), Mapping) else {}
    assert isinstance(response, Mapping)
    used = result.get("tokenUsage") or response.get("tokenUsage") or {}
    latency = float_or_none(result.get("latencyMs"))
    graded = result.get("gradingResult")
    broken = result.get("failureReason") == ERROR or (bool(result.get("error")) and not graded)
    success, score = number(result.get("success")), number(result.get("score"))
    told = {"success": success, "score": score}
    scores = {**flatten_numbers(result.get("namedScores") or {}), **{k: v for k, v in told.items() if v is not None}}
    return Row(
        _id(test, given),
        None if broken else score,
        {} if broken else scores,
        text_of(response.get("output")),
        text_of(result.get("error") or "no response") if broken else "",
        _question(given),
        tokens=sum_counts(used.get("total")) if isinstance(used, Mapping) else None,
        usd=float_or_none(result.get("cost")),
        seconds=None if latency is None else latency / 1000,
    )


def _variables(result: Mapping[str, Any]) -> Any:
    test = result.get("testCase")
    return result.get("vars") or (test.get("vars") if isinstance(test, Mapping) else None) or {}


def _id(test: Mapping[str, Any], given: Any) -> str:
    described = str(test.get("description") or "")
    return described if described and not NUMBERED.fullmatch(described) else content_id(given)


def _told_apart(read: Sequence[Row], given: Sequence[Any]) -> list[Row]:
    """Return rows of which those that share a description, but not their variables, have names of their own."""
    meant: dict[str, set[str]] = defaultdict(set)
    for row, variables in zip(read, given, strict=True):
        meant[row.id].add(content_id(variables))
    return [
        replace(row, id=f"{row.id} {content_id(variables)}") if len(meant[row.id]) > 1 else row
        for row, variables in zip(read, given, strict=True)
    ]


def _columns(document: Document) -> tuple[tuple[str, str, str], ...]:
    """Return the columns of each arm in a sheet: output, status and score; () where this is no sheet of results.

    The output has `[PROVIDER] PROMPT` as its head, and the columns after it repeat for each arm.
    """
    first = next(iter(document.objects), None) if document.kind == "lines" else None
    heads = list(first or ())
    found = [
        (head, heads[place + 1], heads[place + 2])
        for place, head in enumerate(heads[:-2])
        if head.startswith("[") and heads[place + 1].partition("#")[0] == "Status"
        and heads[place + 2].partition("#")[0] == "Score"
    ]  # fmt: skip
    return tuple(found) if first and all(first[status] in STATES for _, status, _ in found) else ()


def _cells(line: Mapping[str, Any], columns: Sequence[tuple[str, str, str]]) -> list[Row]:
    """Return the rows of one line of a sheet, one for each arm; the variables stand before the first output."""
    heads = list(line)
    given = {k: line[k] for k in heads[: heads.index(columns[0][0])] if k != "Description"}
    identity = _id({"description": line.get("Description")}, given)
    providers = {output.partition("] ")[0] for output, _, _ in columns}
    found = []
    for output, status, told in columns:
        broken, score = line[status] == "ERROR", number(line[told])
        scores = {"success": float(line[status] == "PASS"), **({} if score is None else {"score": score})}
        label = output.partition("] ")[2] if len(providers) == 1 else output
        arm = label if len(columns) > 1 else ""
        failure = "ERROR" if broken else ""
        text = text_of(line[output])
        found.append(
            Row(identity, None if broken else score, {} if broken else scores, text, failure, _question(given), arm=arm)
        )
    return found


def _question(given: Any) -> str:
    if isinstance(given, Mapping):
        return next((text_of(given[k]) for k in QUESTION_KEYS if k in given), text_of(given))
    return text_of(given)


def _provider(result: Mapping[str, Any]) -> str:
    provider = result.get("provider")
    if isinstance(provider, Mapping):
        return str(provider.get("label") or provider.get("id") or "")
    return str(provider or "")


def _prompt(result: Mapping[str, Any]) -> str:
    prompt = result.get("prompt")
    if isinstance(prompt, Mapping):
        return str(prompt.get("label") or prompt.get("raw") or result.get("promptIdx", ""))
    return str(result.get("promptId") or result.get("promptIdx", ""))


def _arm(result: Mapping[str, Any], *, several_prompts: bool, several_providers: bool) -> str:
    parts = [_provider(result)] * several_providers + [_prompt(result)] * several_prompts
    return " | ".join(parts)
