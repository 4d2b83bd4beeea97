"""What a proof is written as: a page that loads nothing, a comment, a badge, data."""

import json
import re
import xml.etree.ElementTree as ET

import pytest

from tfgrpo.errors import UsageError
from tfgrpo.proving import page


@pytest.fixture
def written(prove, tmp_path):
    """All four files of one proof."""
    result = prove("good.md", "idle.md", "-o", "p.html", "-o", "c.md", "-o", "b.svg", "-o", "d.json")
    assert "wrote p.html" in result.stderr
    return {name: (tmp_path / name).read_text(encoding="utf-8") for name in ("p.html", "c.md", "b.svg", "d.json")}


def test_page_stands_alone(written):
    """The page has verdict, side by side answers and the floor, and refers to nothing outside."""
    html = written["p.html"]
    assert "helps" in html
    assert "A/A floor" in html
    assert "In topic" in html
    assert "default-src 'none'" in html
    assert not re.search(r"(src|href)\s*=|url\(|@import", html)


def test_comment_is_a_table(written):
    """The comment names each text with verdict, effect and what was won and lost."""
    rows = [line for line in written["c.md"].splitlines() if line.startswith("| `good.md`")]
    assert len(rows) == 1
    assert "| helps |" in rows[0]
    assert rows[0].count("|") == 8


def test_badge_is_svg(written):
    """The badge is well-formed and says verdict, effect, interval, n and date."""
    ET.fromstring(written["b.svg"])
    assert re.search(r"helps \+\d\.\d+ \[.+\], n=\d+, \d{4}-\d\d-\d\d", written["b.svg"])


def test_data_is_the_json(written):
    """The JSON file holds the fields of --json."""
    assert json.loads(written["d.json"])["verdict"] == "helps"


def test_foreign_text_is_text(prove, model, tmp_path):
    """What a model or a task says is shown as words: no tag in the page, no table break in the comment."""
    said = model.roles["prove"]
    model.roles["prove"] = lambda r: f"<script>alert(1)</script> | `x`\n{said(r)}"
    prove("good.md", "-o", "p.html", "-o", "c.md")
    assert "<script>" not in (tmp_path / "p.html").read_text(encoding="utf-8")
    table = [line for line in (tmp_path / "c.md").read_text(encoding="utf-8").splitlines() if "alert" in line]
    assert table
    assert all(line.replace("\\|", "").count("|") == 5 for line in table)


def test_another_ending_is_refused(prove):
    """A file whose ending says nothing is refused with the endings there are."""
    result = prove("good.md", "-o", "x.pdf")
    assert result.exit_code == 2
    assert ".svg" in result.stderr


def test_cells_hold_one_line():
    """A cell of a table is one short line of code."""
    assert page.cell("a|b\n`c`") == "`a\\|b 'c'`"
    with pytest.raises(UsageError):
        page.check_place(page.Path("x"))
