"""The page without a mouse: every folded part can be reached and opened by Tab and Enter, in the order of reading."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tfgrpo.report import to_html

DRIVER = Path("/usr/bin/chromedriver")
TAB, ENTER = "\ue004", "\ue007"
ACTIVE = "const a = document.activeElement; return [a.tagName, a.textContent.trim().slice(0, 40), a.hash || ''];"
OPEN = "return document.activeElement.parentElement.open;"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DRIVER.exists(), reason=f"{DRIVER} is not installed"),
]


class Browser:
    """A session of chromedriver, spoken to in the WebDriver protocol."""

    def __init__(self, port: int, profile: Path) -> None:
        self.base = f"http://127.0.0.1:{port}"
        arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", f"--user-data-dir={profile}"]
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}}
        self.base += f"/session/{self.ask('POST', '/session', wanted)['sessionId']}"

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Send one command and return its value."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base}{path}", data, method=method)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as reply:
            return json.load(reply)["value"]

    def press(self, key: str) -> None:
        """Press and release a key."""
        keys = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self.ask("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": keys}]})

    def run(self, script: str) -> Any:
        """Run a script in the page and return what it returns."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Browser]:
    """A browser that ends with the test."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen([DRIVER, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        try:
            for _ in range(200):
                try:
                    found = Browser(port, tmp_path / "profile")
                    break
                except urllib.error.URLError:
                    time.sleep(0.05)
            yield found
            found.ask("DELETE", "")
        finally:
            driver.terminate()


def test_tab_and_enter_reach_and_open_every_folded_part(browser, night, tmp_path):
    """The skip link is first, then the sections, then what can be unfolded, from top to bottom; Enter opens it."""
    page = tmp_path / "page.html"
    page.write_text(to_html(night), encoding="utf-8")
    browser.ask("POST", "/url", {"url": page.as_uri()})
    shown = browser.run("return [...document.querySelectorAll('summary')].filter((s) => s.checkVisibility()).length")
    met, opened, places = [], 0, []
    for _ in range(400):
        browser.press(TAB)
        tag, text, _ = at = browser.run(ACTIVE)
        if tag == "BODY":
            break
        met.append(at)
        places.append(browser.run("return document.activeElement.getBoundingClientRect().top + scrollY;"))
        if tag == "SUMMARY" and not browser.run(OPEN) and opened < 3:
            browser.press(ENTER)
            assert browser.run(OPEN), text
            opened += 1
    assert met[0][2] == "#main"
    assert [m[2] for m in met[1:4]] == ["#result", "#curve", "#funnel"]
    assert sum(tag == "SUMMARY" for tag, *_ in met) >= shown
    assert opened == 3
    assert places[1:] == sorted(places[1:])


def test_the_skip_link_passes_over_the_sections(browser, night, tmp_path):
    """After Enter on it the next Tab is inside the main part."""
    page = tmp_path / "page.html"
    page.write_text(to_html(night), encoding="utf-8")
    browser.ask("POST", "/url", {"url": page.as_uri()})
    browser.press(TAB)
    browser.press(ENTER)
    browser.press(TAB)
    assert browser.run("return document.activeElement.closest('main') !== null;")
    assert browser.run("return document.activeElement.closest('nav') === null;")


def test_words_state_and_order_work_by_keyboard(browser, night, tmp_path):
    """What is typed hides what does not fit and says how many do; lessons have an order; all of it comes back."""
    page = tmp_path / "page.html"
    page.write_text(to_html(night), encoding="utf-8")
    browser.ask("POST", "/url", {"url": page.as_uri()})
    rows = "[...document.querySelectorAll('[data-item=KIND]')].filter((at) => !at.hidden)"
    lessons, groups = rows.replace("KIND", "lessons"), rows.replace("KIND", "groups")
    shown = f"return {lessons}.map((at) => at.cells[0].innerText);"
    every = browser.run(shown)
    assert len(every) == len(night.lessons) == 3
    browser.run("document.querySelector('[data-over=lessons] input').focus();")
    word = next(w for w in re.findall("[a-z]{3,}", every[0].lower()) if w not in (every[1] + every[2]).lower())
    for key in word:
        browser.press(key)
    assert every[0] in browser.run(shown)
    told = browser.run("return document.querySelector('[data-over=lessons] output').textContent;")
    fit = len(browser.run(shown))
    assert told == f"{fit} of 3 fit"
    assert browser.run("return document.querySelectorAll('article.lesson[hidden]').length;") == 3 - fit
    for _ in word:
        browser.press("\ue003")
    assert browser.run(shown) == every

    def choose(where: str, label: str) -> None:
        browser.run(f"window.at = document.querySelector('{where}');")
        browser.run(f"at.value = [...at.options].find((option) => option.text === '{label}').value;")
        browser.run("at.dispatchEvent(new Event('input', {bubbles: true}));")

    choose("[data-over=lessons] [data-by=order]", "Effect")
    effects = browser.run(f"return {lessons}.map((at) => number(at.querySelector('[data-name=effect]')));")
    assert effects == sorted(effects, reverse=True)
    choose("[data-over=groups] [data-by=state]", "flat")
    assert set(browser.run(f"return {groups}.map((at) => at.dataset.state);")) == {"flat"}
