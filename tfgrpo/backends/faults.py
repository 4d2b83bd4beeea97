"""From what an endpoint answers to our errors: may it pass, is it this request, or is the endpoint of no use?"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tfgrpo.backends.retry import Transient
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.types import FailureKind

LONGEST_DETAIL = 300
"""Characters of an endpoint's own words that an error message quotes."""
KEY_LIKE = re.compile(r"\b(sk|gsk|hf|xai|key)[-_][\w*.-]{6,}|(?<=Bearer )\S+")
URL_SECRETS = re.compile(r"(?<=://)[^/@\s]*@|\?.*$")

NO_ROUTE = {
    *("ConnectError", "UnsupportedProtocol", "InvalidURL", "LocalProtocolError"),
    *("ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorSSLError", "ClientConnectorCertificateError"),
    *("InvalidUrlClientError", "NonHttpUrlClientError"),
}
"""Names of httpx, httpx2 and aiohttp errors after which nothing was sent."""

_HINTS = {
    401: "set the provider's API key, and check that it belongs to this URL",
    402: "the account has no credit left",
    403: "this key may not use the model; ask for access or name another model",
    404: "check the model name, and that the base URL ends where the API begins (mostly /v1)",
}


@dataclass(frozen=True, slots=True)
class Where:
    """The place an error message names: one model at one endpoint."""

    url: str
    model: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What no message may hold."""

    def __str__(self) -> str:
        return f"{public(self.url)} (model {self.model})"

    def quote(self, text: str) -> str:
        """Return `text` on one line, shortened, without keys."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        text = " ".join(KEY_LIKE.sub("***", text).split())
        return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 3] + "..."


def public(url: str) -> str:
    """Return a URL without user, password and query, any of which may be a key."""
    return URL_SECRETS.sub("", url)


def from_status(where: Where, status: int, body: str, retry_after: float | None = None) -> ProviderError:
    """Return the error for an HTTP error status; `body` is what came with it."""
    detail = where.quote(detail_of(body)) or "no reason given"
    said = f"{where} answered {status}: {detail}"
    if status in _HINTS or "insufficient_quota" in body:
        return EndpointError(f"{said}; {_HINTS.get(status, _HINTS[402])}", FailureKind.REFUSED_REQUEST)
    if status == 429:
        return Transient(said, FailureKind.RATE_LIMITED, status=status, retry_after=retry_after)
    if status in {408, 504}:
        return Transient(said, FailureKind.TIMEOUT, status=status, retry_after=retry_after)
    if status == 409 or status >= 500:
        return Transient(said, status=status, retry_after=retry_after)
    return ProviderError(said, FailureKind.REFUSED_REQUEST)


def detail_of(body: str) -> str:
    """Return the words that explain an error body: its message, or the text itself."""
    try:
        found = json.loads(body)
    except ValueError:
        return re.sub(r"<[^>]*>", " ", body)
    for key in ("error", "message", "detail"):
        if isinstance(found, Mapping) and found.get(key):
            found = found[key]
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (seconds or a date) or `retry-after-ms` ask for."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after", "")
    for text, unit in ((milliseconds, 1e-3), (value, 1.0)):
        try:
            return max(0.0, float(text or "") * unit)
        except ValueError:
            continue
    date = email.utils.parsedate_tz(value)
    return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())


def from_error_in_body(where: Where, error: Any) -> ProviderError:
    """Return the error for an error object that came with status 200, as proxies send them."""
    code = str(error.get("code")) if isinstance(error, Mapping) else ""
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else 500
    return from_status(where, status, json.dumps({"error": error}))


def disconnected(where: Where, error: BaseException) -> ProviderError:
    """Return the error for a connection that failed: dead if nothing was there, else it broke on the way."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    found = next((link for link in chain if type(link).__name__ in NO_ROUTE), None)
    if found is None:
        cause = chain[min(1, len(chain) - 1)]
        return Transient(f"the connection to {where} broke: {where.quote(str(cause) or type(cause).__name__)}")
    return EndpointError(
        f"nothing answers at {where}: {where.quote(str(found))}; check the base URL and that the server runs"
    )
