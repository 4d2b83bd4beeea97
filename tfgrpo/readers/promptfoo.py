"""promptfoo: results of `promptfoo eval -o out.json|out.jsonl` (versions 2 to 4 of its schema), and configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from tfgrpo.readers.documents import Document
from tfgrpo.readers.row import Row, content_id, flatten_numbers, float_or_none, number, numbered, sum_counts, text_of

ERROR = 2
"""`failureReason` of a result whose call broke; 1 is an assertion that did not hold, which is a score."""
QUESTION_KEYS = ("question", "prompt", "query", "input", "message", "text", "body", "topic")
ANSWER_TYPES = ("equals", "contains", "icontains", "is-json", "regex", "starts-with")


def matches(document: Document) -> bool:
    """Say whether these are promptfoo's results."""
    return bool(_results(document))


def rows(document: Document) -> tuple[Row, ...]:
    """Return a row per test, prompt and provider; the arm is what differs: prompt, provider, or both."""
    found = _results(document)
    prompts = {_prompt(result) for result in found}
    providers = {_provider(result) for result in found}
    read = [_row(result) for result in found]
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
    tests = document.value.get("tests")
    return tuple(_task(test) for test in tests if isinstance(test, Mapping)) if isinstance(tests, list) else ()


def _task(test: Mapping[str, Any]) -> Row:
    given = test.get("vars") or {}
    asserts = [a for a in test.get("assert") or () if isinstance(a, Mapping)]
    answers = [text_of(a.get("value")) for a in asserts if a.get("type") in ANSWER_TYPES and a.get("value") is not None]
    return Row(_id(test, given), question=_question(given), answer=answers[0] if answers else None)


def _results(document: Document) -> Sequence[Mapping[str, Any]]:
    value: Any = document.value
    if document.kind == "json" and isinstance(value, Mapping):
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
    given = result.get("vars") or test.get("vars") or {}
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


def _id(test: Mapping[str, Any], given: Any) -> str:
    described = test.get("description")
    return str(described) if described else content_id(given)


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
