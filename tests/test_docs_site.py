"""The site of the documentation: its generated pages say what the code says, and it has a place for every page."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
REFERENCE = runpy.run_path(str(DOCS / "generate_reference.py"))
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")


def test_the_reference_is_up_to_date():
    """Keys, exit codes and tables are those of the code."""
    stale = "run `python docs/generate_reference.py`"
    assert (DOCS / "reference.md").read_text(encoding="utf-8") == REFERENCE["page"](), stale
    assert (DOCS / "llms.txt").read_text(encoding="utf-8") == REFERENCE["llms"](), stale


def test_every_key_and_error_is_in_the_reference():
    """The page names nested keys, their defaults, and what each error ends a command with."""
    page = REFERENCE["page"]()
    for words in ("`rollout.group_size` | `int`, default `5`", "`engine.local.slots`", "| `BudgetReached` | 3 |"):
        assert words in page
    assert page.count("(table)") >= 14


def test_the_site_leads_to_every_page():
    """Each page of docs/ stands in the navigation once, and nothing else does."""
    named = re.findall(r": ([\w-]+\.md)$", SITE, re.MULTILINE)
    assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md"))


def test_the_site_loads_nothing_from_elsewhere():
    """No font and no script of another host is configured."""
    assert "font: false" in SITE
    assert "://" not in SITE


def test_links_out_of_the_site_become_names():
    """A file beside docs/ is no page, so it is named and not linked."""
    turn = runpy.run_path(str(DOCS / "site_links.py"))["on_page_markdown"]
    assert turn("see [it](../examples/a.py) and [that](b.md)") == "see it (`examples/a.py`) and [that](b.md)"


@pytest.mark.slow
def test_fields_of_json_are_up_to_date():
    """What commands really print has the fields that the page lists."""
    made = runpy.run_path(str(DOCS / "generate_json_fields.py"))["page"]()
    assert (DOCS / "json_fields.md").read_text(encoding="utf-8") == made, "run `python docs/generate_json_fields.py`"
