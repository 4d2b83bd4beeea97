"""Keys stay out of everything that is kept or shown: whatever holds one gets `***` in its place.

Known values are replaced literally, also as JSON and URLs write them. They are few and long, so text that holds none is
returned as it came, at the cost of one search each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 6
"""Characters from which a part of an address is taken for a key; shorter ones are words of any text."""
KEY_NAME = re.compile(r"key|token|secret|sig|pass|auth|code|credential", re.IGNORECASE)
IN_URL = re.compile(r"(?<=://)[^/@\s'\"]+@")
IN_QUERY = re.compile(r"([?&][\w.-]*(?:key|token|secret|sig|pass|auth|credential)[\w.-]*=)[^&\s'\"]+", re.IGNORECASE)


def hide(text: str, secrets: Sequence[str]) -> str:
    """Return `text` without the `secrets`, in whatever spelling."""
    for secret in secrets:
        for form in spellings(secret):
            if form in text:
                text = text.replace(form, HIDDEN)
    return text


def hider(secrets: Iterable[str]) -> Callable[[str], str] | None:
    """Return `hide` for these secrets, longest first; None when there is nothing to hide."""
    forms = {form for secret in secrets for form in spellings(secret)}
    if not forms:
        return None
    pattern = re.compile("|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    return lambda text: pattern.sub(HIDDEN, text)


def spoken(text: str, secrets: Sequence[str] = ()) -> str:
    """Return a message for people: without the secrets, and without logins and keys inside of addresses."""
    return IN_QUERY.sub(rf"\1{HIDDEN}", IN_URL.sub(f"{HIDDEN}@", hide(text, secrets)))


def cleaned(value: Any, conceal: Callable[[str], str]) -> Any:
    """Return plain data with every text in it, keys of mappings included, put through `conceal`."""
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, Mapping):
        return {cleaned(key, conceal): cleaned(item, conceal) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(cleaned(item, conceal) for item in value)
    return value


def url_secrets(url: str | None) -> tuple[str, ...]:
    """Return what of an address is private: user, password, and values of its query that are named as keys."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ()
    named = [value for name, value in parse_qsl(parts.query) if KEY_NAME.search(name)]
    found = [unquote(part) for part in (parts.username, parts.password) if part] + named
    return tuple(dict.fromkeys(value for value in found if len(value) >= SHORTEST))


def addresses(value: Any) -> Iterator[str]:
    """Yield every text with an address in it, anywhere in plain data."""
    if isinstance(value, str) and "://" in value:
        yield value
    elif isinstance(value, Mapping):
        yield from addresses(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from addresses(item)


def spellings(secret: str) -> tuple[str, ...]:
    """Return how a secret may be written: as it is, inside JSON, inside a URL."""
    inside = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    return tuple(dict.fromkeys((secret, *inside, quote(secret, safe=""), quote_plus(secret), quote(secret))))
