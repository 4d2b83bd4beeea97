"""The candidates of a search in the report: an offline tree that says who came from whom."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.script import rows

from experience_db import Store
from search.world import model, search
from tfgrpo.report import gather, to_html
from tfgrpo.report.data import CandidateRow
from tfgrpo.report.tree import generation_of, tree


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a search with merges."""
    db = tmp_path_factory.mktemp("tree") / "x.db"
    search(
        model(), db, "gepa-merge", problems=rows(24), heldout=rows(12, 500), epochs=3, search__pool="separate",
        search__validation="full",
    )  # fmt: skip
    return db


def test_the_page_shows_every_candidate_and_loads_nothing(searched):
    """Each candidate is a circle with its version and mean; the page names no other place."""
    with Store.open(searched, readonly=True) as store:
        report = gather(store, store.runs()[0].id)
        made = {o.version for o in store.lineage("default") if o.kind != "best"}
    assert {k.version for k in report.kin} == {0, *made}
    assert [k.best for k in report.kin].count(True) == 1
    assert next(k for k in report.kin if k.kind == "merge").mean is not None
    page = to_html(report)
    drawn = re.search(r'<svg[^>]*class="tree".*?</svg>', page, re.DOTALL)
    assert drawn is not None
    assert drawn[0].count("<circle") == len(report.kin)
    assert "stroke-dasharray" in drawn[0]
    assert 'id="lineage"' in page
    assert "<script src" not in page
    assert not re.search(r'(src|href)="https?:', page)


def test_a_generation_is_the_longest_way_up():
    """A merge stands below the younger of its origins."""
    kin = (
        CandidateRow(0, (), "start"),
        CandidateRow(1, (0,), "mutation"),
        CandidateRow(2, (1,), "mutation"),
        CandidateRow(3, (1, 2), "merge"),
    )
    assert generation_of(kin) == {0: 0, 1: 1, 2: 2, 3: 3}
    assert tree(()) == ""


def test_what_a_candidate_lost_by_is_escaped():
    """Reasons are text, never markup."""
    assert "&lt;b&gt;" in tree((CandidateRow(0, (), "start"), CandidateRow(1, (0,), "mutation", 0.5, lost="<b>")))
