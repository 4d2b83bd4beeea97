"""What an error body says, wherever the vendor puts it: the words, the setting it is about, a code, and how to wait."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tfgrpo.system.untrusted_json import ErrorIn, Unreadable, loads, read_model

LONGEST_BODY = 100_000
"""Characters of an error body that are looked at."""
_TAG = re.compile(r"<[^<>]{0,500}>")
_DURATION = re.compile(
    r"(\d{1,6}(?:[.,]\d{1,9})?) ?(ms|milliseconds?|d|days?|h|hours?|m|min|minutes?|s|secs?|seconds?|秒|分钟?|小时)"
    r"(?![a-z])"
)
_WAIT = re.compile(
    r"(?:try again|retry|\bwait\b|available (?:again|in)|resets? in|back ?off|请(?:在|于|等待))[^.\d]{0,40}",
    re.IGNORECASE,
)
_BARE = re.compile(r"(?:try again in|retry[ -]after:?) {0,3}(\d{1,6})(?![\d.,] ?\d|\d| ?[a-z%/:-])", re.IGNORECASE)
"""A wait without a unit, which means seconds."""
_DELAY_KEYS = {"retrydelay", "retryafter", "retryafterseconds", "retrydelayseconds", "estimatedtime"}
_DELAY_KEYS_MS = {"retryafterms", "retrydelayms"}
"""Names of fields, in lower case and without what joins their words."""
_PATHS = ("error", "message", "detail")


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """An error body, read."""

    said: str
    """Its words; the text itself where there is no field for them."""
    param: str = ""
    """The setting it names in a field of its own."""
    code: str = ""
    """Code and type, in lower case."""
    wait: float | None = None
    """Seconds that it asks to wait."""
    moderated: bool = False
    """Whether it has the reasons of a moderation in a field of its own."""


def parse_error_body(body: str) -> ErrorDetails:
    """Read an error body of any vendor; HTML is read without its tags."""
    text = body[:LONGEST_BODY]
    try:
        found = loads(text, forgiving=True)
    except Unreadable:
        said = _TAG.sub(" ", text)
        return ErrorDetails(said, wait=retry_after_in(said))
    # Some send a list with one error, some a text.
    found = found[0] if isinstance(found, list) and found else found
    inner = _innermost(found)
    said = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)[:LONGEST_BODY]
    errors = list(_errors(found))
    wait = next((seconds for place in _places(found) for seconds in _delays(place) if seconds is not None), None)
    return ErrorDetails(
        said,
        next((error.param for error in errors if error.param), ""),
        " ".join(word.lower() for error in errors for word in (error.code, error.type) if word),
        wait if wait is not None else retry_after_in(said),
        any(error.metadata.get("reasons") or error.metadata.get("flagged_input") for error in errors),
    )


def retry_after_in(text: str) -> float | None:
    """Return the seconds of "try again in 1m20s", "retry after 30 seconds" and their like; None without any."""
    for match in _WAIT.finditer(text[:LONGEST_BODY]):
        if (seconds := _duration(text[match.end() : match.end() + 60])) is not None:
            return seconds
    bare = _BARE.search(text[:LONGEST_BODY])
    return float(bare[1]) if bare else None


def _duration(text: str) -> float | None:
    """Seconds of a duration that a text begins with, in any mix of units; None where it begins with none."""
    total, at, seen = 0.0, 0, False
    while match := _DURATION.match(text, at):
        total += float(match[1].replace(",", ".")) * _unit(match[2])
        seen, at = True, match.end() + (text[match.end() : match.end() + 1] == " ")
    return total if seen else None


def _unit(word: str) -> float:
    if word == "ms" or word.startswith("milli"):
        return 1e-3
    return {"d": 86_400.0, "h": 3600.0, "小": 3600.0, "m": 60.0, "分": 60.0}.get(word[0], 1.0)


def _innermost(found: Any) -> Any:
    for key in _PATHS:
        if isinstance(found, Mapping) and found.get(key):
            found = found[key]
    return found


def _places(found: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that may explain: what is within `error` first, then what is around it."""
    if isinstance(found, Mapping):
        yield from (each for each in (found.get("error"), found.get("detail"), found) if isinstance(each, Mapping))


def _errors(found: Any) -> Iterator[ErrorIn]:
    yield from (read_model(ErrorIn, dict(place)) for place in _places(found))


def _delays(error: Mapping[str, Any]) -> Iterator[float | None]:
    metadata = error.get("metadata")
    within = (metadata.get("headers"), metadata.get("raw")) if isinstance(metadata, Mapping) else ()
    for place in (*_listed(error.get("details")), *_listed(error.get("errors")), metadata, *within, error):
        if isinstance(place, Mapping):
            named = {str(key).lower().replace("-", "").replace("_", ""): value for key, value in place.items()}
            yield from (_delay(named.get(key)) for key in sorted(_DELAY_KEYS))
            millis = (_delay(named.get(key)) for key in sorted(_DELAY_KEYS_MS))
            yield from (None if each is None else each / 1000 for each in millis)
        elif isinstance(place, str):
            yield retry_after_in(place)  # the words of whoever is behind a router


def _listed(value: Any) -> Sequence[Any]:
    return value[:100] if isinstance(value, list) else (value,)


def _delay(value: Any) -> float | None:
    if isinstance(value, Mapping):
        # A duration of protobuf, written out.
        parts = [_delay(value.get("seconds")), _delay(value.get("nanos"))]
        return None if parts == [None, None] else (parts[0] or 0.0) + (parts[1] or 0.0) / 1e9
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str):
        told = value.strip()
        return float(told) if re.fullmatch(r"\d{1,6}(?:\.\d{1,9})?", told) else _duration(told)
    return float(value) if 0 <= value < 1e9 + 1 else None
