"""Keys stay out of everything that is kept or shown: whatever holds one gets `***` in its place, on the way out alone.

What is parsed and graded is never touched. Nothing shorter than eight characters is taken for a secret: it may be a
word or a number of any text. Known values are replaced literally, also as JSON, URLs, HTML, hex and base64 write them,
within other text too. Not covered: a key that was hashed, encrypted, reversed, or split over several texts.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

HIDDEN = "***"
SHORTEST = 8
"""Characters from which a value is taken for a secret."""
KEY_NAME = re.compile(r"key|token|secret|sig|pass|auth|code|credential", re.IGNORECASE)
IN_URL = re.compile(r"(?<=://)[^/@\s'\"]+@")
PAIR = re.compile(r"([?&])([\w.-]{1,100})=([^&\s'\"]+)")
KEY_IN_QUERY = re.compile(r"key|token|secret|sig|pass|auth|credential", re.IGNORECASE)


def hide_secrets(text: str, secrets: Sequence[str]) -> str:
    """Return `text` without the `secrets`, in whatever spelling; shorter ones than SHORTEST are none."""
    return _hidden(text, _forms(tuple(secrets))) if secrets else text


def secret_hider(secrets: Iterable[str]) -> Callable[[str], str] | None:
    """Return `hide_secrets` for these secrets, longest first; None when there is nothing to hide."""
    forms = _forms(tuple(secrets))
    return (lambda text: _hidden(text, forms)) if forms else None


@lru_cache(maxsize=64)
def _forms(secrets: tuple[str, ...]) -> tuple[str, ...]:
    """All spellings of all secrets, longest first, so that one inside of another leaves no rest."""
    found = {form for secret in secrets if len(secret) >= SHORTEST for form in secret_spellings(secret)}
    return tuple(sorted(found, key=lambda form: (-len(form), form)))


def _hidden(text: str, forms: Sequence[str]) -> str:
    for form in forms:
        if form in text:
            text = text.replace(form, HIDDEN)
    return text


def secret_of(value: str | None) -> tuple[str, ...]:
    """Return a key as a tuple of secrets: empty for none, and for one that is too short to be told from text."""
    return (value,) if value and len(value) >= SHORTEST else ()


def without_secrets(text: str, secrets: Sequence[str] = ()) -> str:
    """Return a message for people: without the secrets, and without logins and keys inside of addresses."""
    return PAIR.sub(_without_key, IN_URL.sub(f"{HIDDEN}@", hide_secrets(text, secrets)))


def _without_key(pair: re.Match[str]) -> str:
    return f"{pair[1]}{pair[2]}={HIDDEN}" if KEY_IN_QUERY.search(pair[2]) else pair[0]


def clean_data(value: Any, conceal: Callable[[str], str]) -> Any:
    """Return plain data with every text in it, keys of mappings included, put through `conceal`."""
    if isinstance(value, str):
        return conceal(value)
    if isinstance(value, Mapping):
        return {clean_data(key, conceal): clean_data(item, conceal) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(clean_data(item, conceal) for item in value)
    return value


def url_secrets(url: str | None) -> tuple[str, ...]:
    """Return what of an address is private: user, password, and values of its query that are named as keys."""
    try:
        parts = urlsplit(url or "")
    except ValueError:
        return ()
    named = [value for name, value in parse_qsl(parts.query) if KEY_NAME.search(name)]
    user, password = (unquote(part or "") for part in (parts.username, parts.password))
    # Both together are long enough to be known again where each alone is not; so a header with them is as well.
    login = f"{user}:{password}" if user and password else ""
    return tuple(dict.fromkeys(value for value in (user, password, login, *named) if len(value) >= SHORTEST))


def address_texts(value: Any) -> Iterator[str]:
    """Yield every text with an address in it, anywhere in plain data."""
    if isinstance(value, str) and "://" in value:
        yield value
    elif isinstance(value, Mapping):
        yield from address_texts(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from address_texts(item)


def secret_spellings(secret: str) -> tuple[str, ...]:
    """Return how a secret may be written: as it is, inside JSON, URLs, HTML, as hex and as base64, padded or not."""
    import html  # noqa: PLC0415 - its table of entities is large, and most processes know no secret

    quoted = [quote(secret, safe=""), quote_plus(secret), quote(secret)]
    data = secret.encode("utf-8", "replace")
    escaped = [json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]]
    written = [
        secret,
        *escaped,
        *[json.dumps(form)[1:-1] for form in escaped],
        *quoted,
        *[re.sub(r"%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in quoted],
        quote(quoted[0], safe=""),
        "".join(f"%{byte:02X}" for byte in data),
        "".join(f"%{byte:02x}" for byte in data),
        html.escape(secret),
        html.escape(secret).replace("&#x27;", "&#39;"),
        "".join(f"&#{ord(letter)};" for letter in secret),
        "".join(f"\\u{ord(letter):04x}" for letter in secret),
        data.hex(),
        data.hex().upper(),
        *_in_base64(data),
    ]
    return tuple(dict.fromkeys(written))


def _in_base64(data: bytes) -> Iterator[str]:
    """What of a base64 text depends on `data` alone, wherever in the encoded bytes it begins."""
    for before in range(3):
        coded = base64.b64encode(bytes(before) + data).decode().rstrip("=")
        # The first letters mix with what is before, the last one with what follows.
        core = coded[-(-before * 8 // 6) :]
        core = core[: len(core) - ((len(data) + before) % 3 != 0)]
        yield core
        yield core.translate({ord("+"): "-", ord("/"): "_"})
