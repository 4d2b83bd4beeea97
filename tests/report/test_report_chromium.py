"""The page in a real browser: injected code does not run, its own code does, and a phone needs no sideways scroll."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from tfgrpo.report import to_html

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    "--virtual-time-budget=4000",
)
OWNED = "<script>document.title='owned'</script>"
FRAME = (
    '<!doctype html><title>wait</title><iframe style="width:{width}px;height:700px;border:0" srcdoc="{page}"></iframe>'
    "<script>onload = () => {{ const d = document.querySelector('iframe').contentDocument;"
    "d.querySelectorAll('details').forEach((at) => {{ at.open = true; }});"
    "document.title = d.documentElement.scrollWidth + ' of ' + d.documentElement.clientWidth; }}</script>"
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]


@pytest.fixture
def dom(tmp_path: Path):
    """A function that loads a page in Chromium and returns its document afterwards."""

    def load(page: str, fragment: str = "") -> str:
        file = tmp_path / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [
            CHROMIUM,
            *FLAGS,
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            f"{file.as_uri()}{fragment}",
        ]
        return subprocess.run(command, capture_output=True, text=True, timeout=100, check=True).stdout

    return load


def title(document: str) -> str:
    """The title of a dumped document."""
    found = re.search(r"<title>(.*?)</title>", document, re.DOTALL)
    return html.unescape(found[1]) if found else ""


def test_injected_code_does_not_run(dom, hostile):
    """The title is what the run's name makes it; a page without our care would have been taken over."""
    assert title(dom(f"<title>mine</title>{OWNED}")) == "owned"
    page = to_html(hostile)
    assert title(dom(page)) == f"{hostile.run.name} · tfgrpo report"
    # Had the escaping failed, the policy would still hold.
    assert title(dom(page.replace("</main>", f"{OWNED}</main>"))) == f"{hostile.run.name} · tfgrpo report"


def test_a_link_to_a_rollout_opens_what_it_is_folded_in(dom, night):
    """The page's own script runs under its policy."""
    page = to_html(night)
    assert 'class="box" id="g-0-0" open=""' not in dom(page)
    assert 'class="box" id="g-0-0" open=""' in dom(page, "#r-0-0-0")


@pytest.mark.parametrize("width", [320, 360])
@pytest.mark.parametrize("which", ["night", "hostile"])
def test_a_narrow_window_does_not_scroll_sideways(dom, request, which, width):
    """With everything unfolded the page is no wider than the window; a page that were would be noticed."""
    wide = "<!doctype html><body style='margin:0'><p style='width:900px'>wide</p>"
    assert title(dom(FRAME.format(width=width, page=html.escape(wide)))) == f"900 of {width}"
    page = to_html(request.getfixturevalue(which))
    assert title(dom(FRAME.format(width=width, page=html.escape(page)))) == f"{width} of {width}"
