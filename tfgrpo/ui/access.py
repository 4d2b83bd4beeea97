"""Who may ask for what: pages for this machine's own address, edits for whoever signed in with the token.

Three doors, each enough against a page of another origin: the `Host` header must be a loopback address (a name that
was pointed at it afterwards is refused), a request that another site sent is refused by what the browser says of it
(`Sec-Fetch-Site`, `Origin`), and an edit needs a `SameSite=Strict` cookie and a form key that only our pages hold.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

NAMES = frozenset({"127.0.0.1", "localhost", "::1"})
"""What a browser on this machine may call us."""
OWN = frozenset({"", "same-origin", "none"})
"""Values of `Sec-Fetch-Site` that our own pages and the address bar send; older browsers send none."""
POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # `no-referrer` would make browsers send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""What every answer carries."""


def new_token() -> str:
    """Return a token of 32 signs that nobody can guess."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Access:
    """The token of one server, and what follows from it."""

    token: str = field(repr=False)

    @property
    def session(self) -> str:
        """What the cookie of a signed-in browser holds; the token cannot be told from it."""
        return self._derived("session")

    @property
    def form_key(self) -> str:
        """What every form of a signed-in page sends along."""
        return self._derived("form")

    def fits(self, token: str) -> bool:
        """Whether this is the token."""
        return _same(token.strip(), self.token)

    def signed_in(self, cookie: str) -> bool:
        """Whether a cookie is one that we gave."""
        return _same(cookie, self.session)

    def may_write(self, cookie: str, form_key: str) -> bool:
        """Whether an edit comes from a form of ours, filled in by somebody who signed in."""
        return self.signed_in(cookie) and _same(form_key, self.form_key)

    def _derived(self, purpose: str) -> str:
        return hmac.new(self.token.encode(), purpose.encode(), hashlib.sha256).hexdigest()


def _same(given: str, own: str) -> bool:
    """Compare in a time that tells nothing; bytes that are not UTF-8 arrive as half characters."""
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), own.encode())


def refusal(headers: Mapping[str, str], *, writes: bool) -> str:
    """Return why a request is refused by its headers; '' where it is not.

    Args:
        headers: of the request.
        writes: whether it changes something; then it must say where it comes from.
    """
    host = headers.get("Host", "")
    if _name_of(host) not in NAMES:
        return f"this server answers to 127.0.0.1 and localhost only, not to {host!r}"
    if headers.get("Sec-Fetch-Site", "") not in OWN:
        return "another site sent this request; open the address yourself"
    origin = headers.get("Origin")
    if origin is not None and origin != f"http://{host}":
        return "another origin sent this request; use the pages of this server"
    if writes and origin is None:
        return "an edit must say which page it comes from (the header Origin is missing)"
    return ""


def _name_of(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
