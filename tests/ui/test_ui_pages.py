"""Each page shows what the database holds, searched, filtered and sorted, whatever its texts are."""

import re
from urllib.parse import quote

import pytest
from report_stores import ATTACKS, Page

from experience_db import Store


def links(text: str, start: str) -> list[str]:
    """Return the links of a page that begin so."""
    return [href for href in Page(text).attributes("href") if href.startswith(start)]


def test_the_first_page_leads_to_libraries_and_runs(reader):
    """It names the library with its waiting edit, and the run."""
    page = reader.page("/")
    assert links(page, "/library/web")
    assert "1 edit" in page
    assert links(page, "/run/")


def test_every_link_leads_somewhere(reader):
    """Whoever follows all links from the first page finds no dead end, and every page is well formed."""
    seen, ahead = set(), ["/"]
    while ahead and len(seen) < 120:
        path = ahead.pop().partition("#")[0]
        if path in seen:
            continue
        seen.add(path)
        answer = reader.get(path)
        assert answer.status_code == 200, path
        if "export" in path or path.endswith("/report") or not answer.headers["Content-Type"].startswith("text/html"):
            continue
        page = Page(answer.text)
        assert not page.faults, (path, page.faults)
        ids = page.attributes("id")
        assert len(ids) == len(set(ids)), path
        ahead += [href for href in page.attributes("href") if href.startswith("/") and not href.startswith("/assets")]
    assert len(seen) > 20


def test_versions_are_a_line_to_walk(reader):
    """Each version links to the one before and after, and tells what changed."""
    with Store.open(reader.db, readonly=True) as store:
        head = store.library("web").version
    first, last = reader.page("/library/web?v=0"), reader.page(f"/library/web?v={head}")
    assert 'rel="next"' in first
    assert 'rel="prev"' not in first
    assert 'rel="prev"' in last
    assert "+ added" in last


def test_a_lesson_tells_its_evidence_and_its_story(reader):
    """Its page has the gate's figures, and links to the groups that it rests on, rollout by rollout."""
    page = reader.page("/library/web/lesson/1")
    assert "Measurements that speak of lesson 1" in page
    group = links(page, "/run/")[0]
    assert "What came of it" in reader.page(group.partition("#")[0])


def test_a_group_shows_winners_beside_losers_and_the_lesson(reader):
    """The group that lesson 1 rests on names the lesson as what came of it."""
    group = next(href for href in links(reader.page("/library/web/lesson/1"), "/run/") if "group?" in href)
    page = reader.page(group.partition("#")[0])
    assert "Winners: above" in page
    assert "Losers: at or below it" in page
    assert links(page, "/library/web/lesson/")


def test_runs_are_searched_and_filtered(reader):
    """A part of the name finds the run, another status does not."""
    assert links(reader.page("/runs?q=NIGH&status=finished"), "/run/")
    assert not links(reader.page("/runs?status=failed"), "/run/")


def test_groups_of_a_run_are_filtered(reader):
    """Only groups of the status and step asked for are listed."""
    run = links(reader.page("/runs"), "/run/")[0]
    kept = reader.page(f"{run}?status=kept&step=0&sort=worst")
    assert links(kept, f"{run}/group")
    assert all("step=0" in href for href in links(kept, f"{run}/group"))


def test_two_runs_stand_side_by_side(reader):
    """Both runs are there, and where they are the same run nothing is set differently."""
    run = links(reader.page("/runs"), "/run/")[0].removeprefix("/run/")
    page = reader.page(f"/compare?a={run}&b={run}")
    assert page.count("Lessons that came of it") == 2
    assert "What was set differently" in page
    assert "Problems that both attempted" in page


def test_a_search_finds_lessons_and_runs(reader):
    """One field looks through all libraries and runs."""
    with Store.open(reader.db, readonly=True) as store:
        word = next(iter(store.library("web"))).text.split()[-1]
    assert links(reader.page(f"/search?q={quote(word)}"), "/library/web/lesson/")
    assert links(reader.page("/search?q=night"), "/run/")


def test_the_review_queue_says_why_something_waits(reader):
    """What waits is shown with its reason; without the token there is no button."""
    page = reader.page("/review")
    assert "it rests on tool output" in page
    assert "decision" not in page


def test_a_version_is_exported(reader):
    """JSON carries the evidence, Markdown is a list, and both are files to keep."""
    whole = reader.get("/library/web/export")
    assert whole.json()["lessons"]
    assert "attachment" in whole.headers["Content-Disposition"]
    assert reader.page("/library/web/export?format=md").startswith("# web")


def test_the_whole_report_is_at_hand(reader):
    """A run's page leads to the file that `tfgrpo report` writes."""
    run = links(reader.page("/runs"), "/run/")[0]
    assert "tfgrpo report" in reader.page(f"{run}/report")


@pytest.mark.parametrize("path", ["/library/none", "/library/web?v=99", "/library/web/lesson/99", "/run/none"])
def test_what_is_not_there_is_said(reader, path):
    """An unknown name ends in a page of its own that says what there is."""
    answer = reader.get(path)
    assert answer.status_code == 404
    assert "Not found" in answer.text


def test_texts_of_strangers_stay_texts(hostile):
    """No text of the database becomes markup on any page."""
    library, run = quote("lib<script>", safe=""), quote(ATTACKS[0], safe="")
    paths = ["/", "/runs", "/review?all=1", "/search?q=" + quote(ATTACKS[1]), "/compare", f"/run/{run}"]
    paths += [f"/library/{library}", f"/library/{library}/lesson/1", f"/library/{library}/lesson/2"]
    paths += [f"/run/{run}/group?step=0&problem={run}", f"/compare?a={run}&b={run}"]
    for path in paths:
        page = Page(hostile.page(path))
        assert not page.faults, (path, page.faults)
        names = [tag for tag, _ in page.elements]
        assert names.count("script") == 1, path
        assert "img" not in names, path
        assert not [name for _, given in page.elements for name in given if name.startswith("on")], path
    assert not re.search("[\u202e\x00]", hostile.page(f"/library/{library}"))
