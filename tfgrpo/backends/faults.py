"""From what an endpoint answers to our errors: may it pass, is it this request, or is the endpoint of no use?"""

from __future__ import annotations

import contextlib
import email.utils
import errno
import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from tfgrpo.backends.error_bodies import LONGEST_BODY, parse_error_body
from tfgrpo.backends.http import led_to
from tfgrpo.backends.retry_policy import Crowded, Transient
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.system.redact import hide_secrets
from tfgrpo.types import FailureKind

LONGEST_DETAIL = 300
"""Characters of an endpoint's own words that an error message quotes."""
KEY_LIKE = re.compile(r"\b(sk|gsk|hf|xai|key)[-_][\w*.-]{6,}|(?<=Bearer )\S+")
MODERATED = re.compile(
    r"moderat|flagged|content.?(policy|filter|management)|safety (system|filter|polic)|guardrail|usage polic"
    r"|prohibited content|data_inspection|sensitive (content|words?)",
    re.IGNORECASE,
)
"""How vendors say that a prompt was stopped for what it says."""
PASSING = {408, 409, 424, 425, 429, 498, 499}
"""Statuses below 500 after which another try may help: 424 and 499 of a generation that broke, 425 too early, 498 no
capacity in this tier."""
NEVER = {501, 505, 510, 511}
"""Statuses from 500 that no further try changes: what is asked is not offered, or not from this network."""
_KINDS = {
    408: FailureKind.TIMEOUT,
    504: FailureKind.TIMEOUT,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.RATE_LIMITED,
}

NO_ROUTE = {
    *("ConnectError", "UnsupportedProtocol", "InvalidURL", "LocalProtocolError"),
    *("ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorSSLError", "ClientConnectorCertificateError"),
    *("InvalidUrlClientError", "NonHttpUrlClientError", "ClientProxyConnectionError"),
}
"""Names of httpx, httpx2 and aiohttp errors after which nothing was sent."""
NO_ROOM = {errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS}
"""Of a connection that this machine has no file, port or buffer for."""

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
        return f"{without_secrets(self.url)} (model {self.model})"

    def quote(self, text: str) -> str:
        """Return `text` on one line, shortened, without keys."""
        # Cut first, so that no long text meets an expression; then again, for stars take room as well.
        text = hide_secrets(text[: 20 * LONGEST_DETAIL], self.secrets)
        text = " ".join(KEY_LIKE.sub("***", text).split())
        return text if len(text) <= LONGEST_DETAIL else text[: LONGEST_DETAIL - 3] + "..."


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query, any of which may be a key."""
    head, sign, rest = url.partition("?")[0].partition("://")
    if not sign:
        return head
    host, slash, path = rest.partition("/")
    return f"{head}://{host.rpartition('@')[2]}{slash}{path}"


def from_status(where: Where, status: int, body: str, retry_after: float | None = None) -> ProviderError:
    """Return the error for an HTTP error status; `body` is what came with it."""
    said = parse_error_body(body)
    words = f"{where} answered {status}: {where.quote(said.said) or 'no reason given'}"
    stopped = said.moderated or MODERATED.search(said.said) or MODERATED.search(said.code)
    if status in {400, 403, 422, 451} and stopped:
        return ProviderError(f"{words} (the prompt was stopped)", FailureKind.REFUSED_REQUEST, status=status)
    if status in _HINTS or "insufficient_quota" in body[:LONGEST_BODY]:
        hint = _HINTS.get(status, _HINTS[402])
        return EndpointError(f"{words}; {hint}", FailureKind.REFUSED_REQUEST, status=status)
    if status in PASSING or (status >= 500 and status not in NEVER):
        kind = _KINDS.get(status, FailureKind.PROVIDER)
        wait = retry_after if retry_after is not None else said.wait
        return Transient(words, kind, status=status, retry_after=wait)
    words += " (the request is too large)" if status == 413 else ""
    return ProviderError(words, FailureKind.REFUSED_REQUEST, status=status)


def redirect_error(where: Where, status: int, place: str) -> EndpointError:
    """Return the error for a redirect that is not followed: a prompt and a key go to the address that was named."""
    host = urlsplit(led_to(where.url, place)).netloc.rpartition("@")[2] or "nowhere"
    return EndpointError(
        f"{where} redirects ({status}) to {where.quote(host)}, which is not followed; if that is where the API is, "
        "give its address as the base URL",
        FailureKind.REFUSED_REQUEST,
        status=status,
    )


def detail_of(body: str) -> str:
    """Return the words that explain an error body: its message, or the text itself."""
    return parse_error_body(body).said


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` (seconds or a date) or `retry-after-ms` ask for."""
    milliseconds, value = headers.get("retry-after-ms"), headers.get("retry-after", "")
    for text, unit in ((milliseconds, 1e-3), (value, 1.0)):
        with contextlib.suppress(ValueError):
            seconds = float(text or "") * unit
            if math.isfinite(seconds):
                return max(0.0, seconds)
    # Years that no calendar has are no date.
    with contextlib.suppress(ValueError, OverflowError):
        date = email.utils.parsedate_tz(value)
        return None if date is None else max(0.0, email.utils.mktime_tz(date) - time.time())
    return None


def from_error_in_body(where: Where, error: Any) -> ProviderError:
    """Return the error for an error object that came with status 200, as proxies send them."""
    code = str(error.get("code"))[:10] if isinstance(error, Mapping) else ""
    status = int(code) if re.fullmatch(r"[45]\d\d", code) else 500
    return from_status(where, status, json.dumps({"error": error}))


def connection_error(where: Where, error: BaseException, through: str = "") -> ProviderError:
    """Return the error for a connection that failed: dead if nothing was there, else it broke on the way.

    `through` is the proxy it went through, '' for none.
    """
    by = f" through the proxy {through}" if through else ""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    if any(getattr(link, "errno", None) in NO_ROOM for link in chain):
        return Crowded(
            f"no connection to {where}{by}: this process may not open more files; lower --concurrency, or raise the "
            "limit (ulimit -n)"
        )
    found = next((link for link in chain if type(link).__name__ in NO_ROUTE), None)
    if found is None:
        cause = chain[min(1, len(chain) - 1)]
        return Transient(f"the connection to {where}{by} broke: {where.quote(str(cause) or type(cause).__name__)}")
    check = "check the proxy variables and NO_PROXY" if through else "check the base URL and that the server runs"
    return EndpointError(f"nothing answers at {where}{by}: {where.quote(str(found))}; {check}")
