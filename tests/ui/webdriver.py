"""A browser to drive by hand: Chromium through chromedriver's own protocol (W3C WebDriver), without a library."""

from __future__ import annotations

import base64
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

CHROMIUM, DRIVER = Path("/usr/bin/chromium"), Path("/usr/bin/chromedriver")
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--force-device-scale-factor=1"),
)


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self.client, self.session = client, session

    def ask(self, verb: str, path: str, **body: Any) -> Any:
        """Send a command; raises AssertionError with the browser's words."""
        given = None if verb in ("GET", "DELETE") else json.dumps(body)
        answer = self.client.request(verb, f"/session/{self.session}{path}", content=given)
        assert answer.status_code == 200, answer.text[:500]
        return answer.json()["value"]

    def open(self, url: str) -> None:
        """Load a page."""
        self.ask("POST", "/url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """Run a function's body in the page."""
        return self.ask("POST", "/execute/sync", script=script, args=list(arguments))

    def run_later(self, script: str, *arguments: Any) -> Any:
        """Run a function's body that calls its last argument when it is done."""
        return self.ask("POST", "/execute/async", script=script, args=list(arguments))

    def shape(self, width: int, height: int, *, dark: bool) -> None:
        """Give the page exactly this size, and the colours that its reader prefers."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", {"features": features})

    def devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        """Send a command of Chromium's own protocol."""
        return self.ask("POST", "/goog/cdp/execute", cmd=command, params=parameters)

    def press(self, *keys: str) -> None:
        """Press keys one after the other, wherever the focus is."""
        steps = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self.ask("POST", "/actions", actions=[{"type": "key", "id": "keys", "actions": steps}])

    def picture(self) -> bytes:
        """Return what is seen, as PNG."""
        return base64.b64decode(self.ask("GET", "/screenshot"))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser with an empty profile while the block runs."""
    driver = subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True)
    try:
        assert driver.stdout is not None
        port = next(found[1] for line in driver.stdout if (found := re.search(r"successfully on port (\d+)", line)))
        options = {"binary": str(CHROMIUM), "args": [*FLAGS, f"--user-data-dir={folder / 'profile'}"]}
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=100, trust_env=False) as client:
            made = client.post("/session", content=json.dumps(wanted))
            assert made.status_code == 200, made.text
            window = Browser(client, made.json()["value"]["sessionId"])
            try:
                yield window
            finally:
                window.ask("DELETE", "")
    finally:
        driver.terminate()
        driver.communicate()
