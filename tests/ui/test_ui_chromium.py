"""The pages in a real browser: by keyboard, in light and dark, on three widths, and by the rules of WCAG 2 AA.

`REGENERATE_IMAGES=1 pytest -m slow tests/ui` writes the pictures of docs/images anew. axe-core is found as
`node_modules/axe-core/axe.min.js`, or where AXE_CORE says; without it the test of its rules skips and says so.
"""

import asyncio
import os
from pathlib import Path
from urllib.parse import quote

import pytest
from report_stores import Page, hostile_run
from support.patience import until
from ui_visitor import served
from webdriver import CHROMIUM, DRIVER, browser

from experience_db import Store
from tfgrpo.proving.page import html
from tfgrpo.proving.pairs import Pair, Side
from tfgrpo.proving.proof import Finding, Proof, Verdict
from tfgrpo.report import gather, to_html

ROOT = Path(__file__).parents[2]
AXE = Path(os.environ.get("AXE_CORE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
IMAGES = ROOT / "docs" / "images"
WIDTHS = {"phone": (360, 740), "tablet": (820, 1100), "desk": (1280, 900)}
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not (CHROMIUM.exists() and DRIVER.exists()), reason=f"{CHROMIUM} or {DRIVER} is not installed"),
]


@pytest.fixture(scope="module")
def site(made_db):
    """A server of the scripted run."""
    with served(made_db) as visitor:
        yield visitor


@pytest.fixture(scope="module")
def window(tmp_path_factory, site):
    """A browser that signed in."""
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        opened.open(f"{site.where}/sign-in?token=a token for tests".replace(" ", "%20"))
        yield opened


@pytest.fixture(scope="module")
def paths(site):
    """One page of each kind."""
    run = quote(_runs(site)[0]["id"], safe="")
    group = _first(site.page(f"/run/{run}"), f"/run/{run}/group")
    return {
        "overview": "/", "library": "/library/web", "lesson": "/library/web/lesson/1", "review": "/review",
        "pages": "/library/long?page=2", "their search": "/library/long?q=unit&changes=2",
        "runs": "/runs", "run": f"/run/{run}", "group": group, "compare": f"/compare?a={run}&b={run}",
        "search": "/search?q=topic", "sign-in": "/sign-in", "lost": "/library/none",
    }  # fmt: skip


def _runs(site):
    with Store.open(site.db, readonly=True) as store:
        return store.run_rows().rows


def _first(text, start):
    return next(href for href in Page(text).attributes("href") if href.startswith(start)).partition("#")[0]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm install --no-save axe-core")
def test_pages_keep_the_rules_of_wcag(window, site, paths, dark):
    """Axe finds no violation of WCAG 2.2 A and AA on any page, folded parts opened, on phone and desk."""
    script, faults = AXE.read_text(encoding="utf-8"), []
    for name, path in paths.items():
        for size in ("phone", "desk"):
            window.shape(*WIDTHS[size], dark=dark)
            window.open(site.where + path)
            window.run("document.querySelectorAll('details').forEach((at) => { at.open = true; })")
            window.devtools("Runtime.evaluate", {"expression": script})
            found = window.run_later("axe.run(document, arguments[0]).then(arguments[1])", RULES)
            faults += [(name, size, v["id"], [n["target"] for n in v["nodes"][:3]]) for v in found["violations"]]
    assert not faults


@pytest.fixture(scope="module")
def written(tmp_path_factory, made_db):
    """The pages that are files: the report of a run, that of one whose every text is an attack, and a proof."""
    folder = tmp_path_factory.mktemp("written")
    hostile = folder / "hostile.db"
    for name, (db, run) in {"report": (made_db, "night"), "hostile": (hostile, hostile_run(hostile))}.items():
        with Store.open(db, readonly=True) as store:
            (folder / f"{name}.html").write_text(to_html(gather(store, run)), encoding="utf-8")
    (folder / "proof.html").write_text(html(long_proof()), encoding="utf-8")
    return folder


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: npm install --no-save axe-core")
def test_pages_that_are_files_keep_the_rules_of_wcag(window, written, dark):
    """Axe finds no violation in a report or a proof either, folded parts opened, on three widths."""
    script, faults = AXE.read_text(encoding="utf-8"), []
    for page in sorted(written.glob("*.html")):
        for size, shape in WIDTHS.items():
            window.shape(*shape, dark=dark)
            window.open(page.as_uri())
            window.run("document.querySelectorAll('details').forEach((at) => { at.open = true; })")
            window.devtools("Runtime.evaluate", {"expression": script})
            found = window.run_later("axe.run(document, arguments[0]).then(arguments[1])", RULES)
            faults += [(page.name, size, v["id"], [n["target"] for n in v["nodes"][:3]]) for v in found["violations"]]
    assert not faults


@pytest.mark.parametrize("size", WIDTHS)
def test_no_page_scrolls_sideways(window, site, paths, size):
    """Unfolded, every page is as wide as the window."""
    wide = []
    for name, path in paths.items():
        window.shape(*WIDTHS[size], dark=False)
        window.open(site.where + path)
        window.run("document.querySelectorAll('details').forEach((at) => { at.open = true; })")
        across = window.run("return document.documentElement.scrollWidth")
        wide += [(name, across)] if across > WIDTHS[size][0] else []
    assert not wide


def long_proof():
    """A proof whose texts are longer than any window."""
    sides = [Side(reward, "", "x" * 300 + " a plain answer " * 20) for reward in (0.0, 1.0)]
    pairs = tuple(Pair(f"{'problem' * 9}-{i}", "A question? " * 30, *sides, 0) for i in range(3))
    found = Finding(
        "skills/some/SKILL.md", "none", "text", Verdict.HELPS, "so", 1.0, (0.5, 1.0), "x", 0.01, 1.0, 0.05, pairs,
        {p.id: 1.0 for p in pairs}, {"n": 3, "effect": 1.0, "ci": [0.5, 1.0], "how": "all"},
    )  # fmt: skip
    return Proof((found,), told={"texts": ["skills/some/SKILL.md" * 9]}, notes=("y" * 200,))


@pytest.mark.parametrize("width", [320, 400, 1280])
def test_a_proof_fits_its_window(window, tmp_path, width):
    """The page of a proof never scrolls sideways, and on a phone no text of either side is cut by the edge."""
    (tmp_path / "proof.html").write_text(html(long_proof()), encoding="utf-8")
    window.shape(width, 800, dark=False)
    window.open((tmp_path / "proof.html").as_uri())
    window.run("document.querySelectorAll('details').forEach((at) => { at.open = true; })")
    assert window.run("return document.documentElement.scrollWidth") <= width
    cut = "return [...document.querySelectorAll('pre')].filter((e) => e.scrollWidth > e.clientWidth).length"
    assert window.run(cut) == 0
    narrow = "return Math.min(...[...document.querySelectorAll('pre')].map((e) => e.clientWidth))"
    assert window.run(narrow) >= min(200, width - 60)


def test_everything_is_reached_by_keyboard(window, site):
    """The first stop skips to the page, `/` goes to the search, `[` walks the versions, and nothing is left out."""
    window.shape(*WIDTHS["desk"], dark=False)
    window.open(f"{site.where}/library/web")
    window.press("\ue004", "\ue007")  # Tab, Enter
    assert asyncio.run(until(lambda: window.run("return document.activeElement.id") == "main"))
    window.press("[")
    assert asyncio.run(until(lambda: "v=" in window.run("return location.href")))
    window.press("/")
    assert window.run("return document.activeElement.id") == "find"
    stops = window.run(
        "return [...document.querySelectorAll('a[href], button, input:not([type=hidden]), select, textarea, summary')]"
        ".filter((at) => at.tabIndex < 0).length"
    )
    assert stops == 0


def test_pages_of_a_list_have_keys_beside_those_of_versions(window, site):
    """`}` and `{` turn the pages of the lessons, whatever `[` and `]` do, and the lesson of a link is in view."""
    window.shape(*WIDTHS["desk"], dark=False)
    window.open(f"{site.where}/library/long")
    for key, wanted in (("}", "page=2"), ("{", "page=1"), ("[", "v=0")):
        window.press(key)
        assert asyncio.run(until(lambda wanted=wanted: wanted in window.run("return location.href")))
    lesson = site.page("/library/long/lesson/57")
    window.open(site.where + next(href for href in Page(lesson).attributes("href") if "#l-" in href))
    seen = "const at = document.getElementById('l-57').getBoundingClientRect()"
    assert asyncio.run(until(lambda: window.run(f"{seen}; return at.top >= 0 && at.bottom <= innerHeight")))


def test_a_page_loads_nothing_that_its_policy_forbids(window, site, paths):
    """No page logs a refused load or a fault of its script."""
    for path in paths.values():
        window.open(site.where + path)
        assert window.run("return document.styleSheets.length") == 1
        assert window.run("return document.getElementById('keys-switch').textContent").startswith("Single keys")


PICTURES = (("library", "desk", False), ("lesson", "desk", False), ("group", "desk", False), ("library", "phone", True))


@pytest.mark.parametrize(("name", "size", "dark"), PICTURES)
def test_pictures_for_the_documentation(window, site, paths, name, size, dark):
    """Each page can be drawn; where asked, the pictures of the documentation are written anew."""
    window.shape(*WIDTHS[size], dark=dark)
    window.open(site.where + paths[name])
    drawn = window.picture()
    assert drawn.startswith(b"\x89PNG")
    place = IMAGES / f"ui-{name}-{size}-{'dark' if dark else 'light'}.png"
    assert place.name in (ROOT / "docs" / "ui.md").read_text(encoding="utf-8")
    if os.environ.get("REGENERATE_IMAGES"):
        IMAGES.mkdir(exist_ok=True)
        place.write_bytes(drawn)
