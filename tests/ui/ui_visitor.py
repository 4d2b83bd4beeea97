"""Somebody with a browser, and a server of the pages for them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tfgrpo.system.http_server import serve_in_background
from tfgrpo.ui import Settings, build_app

TOKEN = "a token for tests"
TAINTED = "When a page names a price, copy its currency too."


@dataclass
class Visitor:
    """Somebody with a browser: cookies are kept, redirects followed, and our origin said with every form."""

    where: str
    db: Path
    client: httpx.Client = field(default_factory=lambda: httpx.Client(follow_redirects=True, trust_env=False))

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for a page."""
        return self.client.get(self.where + path, headers=headers)

    def page(self, path: str) -> str:
        """Return a page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def sign_in(self, token: str = TOKEN) -> httpx.Response:
        """Open the address with the token."""
        return self.get(f"/sign-in?token={token}")

    def send(self, path: str, *, key: str | None = None, origin: str | None = None, **form: object) -> httpx.Response:
        """Send a form; with the key of our pages and our own origin unless told otherwise."""
        if key is None:
            key = next(iter(re.findall(r'name="form_key" value="(\w+)"', self.get("/library/web").text)), "")
        headers = {"Origin": self.where if origin is None else origin}
        data = {"form_key": key, **{name: str(value) for name, value in form.items()}}
        return self.client.post(self.where + path, data=data, headers=headers)


@contextmanager
def served(db: Path) -> Iterator[Visitor]:
    """Serve a database while the block runs."""
    with serve_in_background(lambda: build_app(Settings(db, TOKEN))) as where:
        visitor = Visitor(where, db)
        try:
            yield visitor
        finally:
            visitor.client.close()
