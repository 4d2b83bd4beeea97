"""Libraries of many lessons are shown page by page, and a link to a lesson leads to the page that holds it."""

import re

import pytest
from report_stores import Page
from ui_visitor import served

from experience_db import Edit, Evidence, Op, Store
from tfgrpo.lessons.review import WAITS
from tfgrpo.ui.lesson_rows import PAGE, Asked, lesson_page

MANY = 3 * PAGE + 7


@pytest.fixture
def store(tmp_path):
    """An empty store."""
    with Store.open(tmp_path / "x.db") as opened:
        yield opened


def filled(store, texts, evidence=(), name="a"):
    """Make a library of these lessons."""
    head = store.create_library(name)
    return store.commit(name, [Edit(Op.ADD, text) for text in texts], parent=head.version, evidence=evidence).version


def ids(page):
    """The lessons of a page."""
    return [row.lesson.id for row in page.rows]


def test_lessons_are_searched_filtered_and_sorted(store):
    """All words must be in a lesson, its effect must show what is asked for, and equal ones stay in order."""
    texts = ("Add the units.", "Check the units twice.", "Begin with the left one.")
    told = [Evidence("gate", 0.4, 0.1, 0.7, 8, (2,), "accepted"), Evidence("gate", -0.2, -0.4, -0.1, 8, (3,), "")]
    at = filled(store, texts, told)
    assert [row.shows for row in lesson_page(store, "a", at).rows] == ["not measured", "helps", "harms"]
    for asked, wanted in (
        (Asked("UNITS the"), [1, 2]), (Asked(shows="harms"), [3]), (Asked(sort="effect"), [2, 3, 1]),
        (Asked(sort="least effect"), [3, 2, 1]), (Asked(sort="length"), [3, 2, 1]), (Asked(shows="tainted"), []),
        (Asked("units", "helps", "no such order"), [2]),
    ):  # fmt: skip
        found = lesson_page(store, "a", at, asked)
        assert (ids(found), found.found, found.total) == (wanted, len(wanted), 3)


def test_pages_hold_every_lesson_once(store):
    """Page after page each lesson comes once, and beyond the last page is the last page."""
    at = filled(store, [f"Lesson {i}." for i in range(MANY)])
    pages = [lesson_page(store, "a", at, Asked(sort="newest words", page=n)) for n in (1, 2, 3, 4)]
    assert [i for page in pages for i in ids(page)] == list(range(1, MANY + 1))
    assert pages[0].pages == 4
    assert ids(lesson_page(store, "a", at, Asked(page=99))) == ids(pages[-1])


def test_a_lesson_leads_to_its_page(store):
    """In any order, the page of a lesson holds it; one that does not hold to the search leaves the page as asked."""
    at = filled(store, [f"Lesson {i}: {'odd' if i % 2 else 'even'}." for i in range(MANY)])
    for sort in ("number", "length", "effect"):
        assert 77 in ids(lesson_page(store, "a", at, Asked(sort=sort, lesson=77)))
    assert lesson_page(store, "a", at, Asked("odd", lesson=77, page=2)).at == 2


def test_effects_of_an_old_version_are_those_known_then(store):
    """What was measured later does not speak on the page of an earlier version."""
    filled(store, ["Add the units."], [Evidence("gate", 0.4, 0.1, 0.7, 8, (1,), "accepted")])
    store.commit("a", [Edit(Op.ADD, "More.")], parent=1, evidence=[Evidence("gate", -0.4, -0.7, -0.1, 8, (1,), "")])
    assert [lesson_page(store, "a", v, Asked("units")).rows[0].shows for v in (1, 2)] == ["helps", "harms"]
    assert [lesson_page(store, "a", v, Asked(shows="helps")).found for v in (1, 2)] == [1, 0]


@pytest.fixture
def visitor(tmp_path):
    """Somebody who signed in to a server of a library of many lessons, and as many edits that wait."""
    with Store.open(tmp_path / "x.db") as store:
        at = filled(store, [f"Lesson {i}: name the unit." for i in range(MANY)])
        waiting = [Edit(Op.ADD, f"Wait {i}.", tainted=True) for i in range(PAGE + 5)]
        store.set_aside("a", waiting, status="undecided", reason=f"{WAITS}: it rests on tool output", version=at)
        store.set_aside("a", [Edit(Op.ADD, "Open.")], status="undecided", reason="too few problems", version=at)
    with served(tmp_path / "x.db") as found:
        found.sign_in()
        yield found


def anchors(text, start):
    """Return the places of a page that are named so."""
    return [name for name in Page(text).attributes("id") if re.fullmatch(f"{start}-\\d+", name)]


def test_the_page_of_a_library_walks_through_its_lessons(visitor):
    """Each page has its lessons and links to the next, with the search kept; a version's changes have pages too."""
    first = visitor.page("/library/a?q=unit&sort=number")
    assert anchors(first, "l") == [f"l-{i}" for i in range(1, PAGE + 1)]
    following = next(h for h in Page(first).attributes("href") if "page=2" in h)
    assert "q=unit" in following
    assert following.endswith("#lessons")
    assert anchors(visitor.page(following.partition("#")[0]), "l")[0] == f"l-{PAGE + 1}"
    assert f"[{MANY}] <ins>" in visitor.page("/library/a?changes=4")
    assert "[1] <ins>" in visitor.page("/library/a?changes=5")


def test_links_to_a_lesson_find_its_page(visitor):
    """The page of a lesson leads back to where it stands in the list, and a new lesson is shown where it came."""
    back = next(h for h in Page(visitor.page(f"/library/a/lesson/{MANY}")).attributes("href") if "lesson=" in h)
    path, _, anchor = back.partition("#")
    page = visitor.page(path)
    assert anchor == f"l-{MANY}"
    assert anchor in anchors(page, "l")
    assert "lesson=" not in "".join(h for h in Page(page).attributes("href") if "page=" in h)
    key = re.search(r'name="form_key" value="(\w+)"', page)[1]
    added = visitor.send("/library/a/add", key=key, version=1, text="One more.")
    assert f"l-{MANY + 1}" in anchors(added.text, "l")
    assert "Added as lesson" in added.text


def test_the_queue_has_pages_and_stays_where_it_was(visitor):
    """All waiting edits are reached, and who decides one on the second page stays there."""
    first = visitor.page("/review?library=a")
    assert len(anchors(first, "e")) == PAGE
    assert f"{PAGE + 5} edits" in first
    second = visitor.page("/review?library=a&page=2")
    shown = anchors(second, "e")
    assert len(shown) == 5
    assert len(anchors(visitor.page("/review?library=a&page=2&all=1"), "e")) == 6
    key = re.search(r'name="form_key" value="(\w+)"', second)[1]
    back = re.search(r'name="back" value="([^"]+)"', second)[1].replace("&amp;", "&")
    form = {"key": key, "edit": shown[0].removeprefix("e-"), "decision": "reject", "back": back}
    refused = visitor.send("/library/a/review", **form)
    assert "say why" in refused.text
    again = re.search(r'name="back" value="([^"]+)"', refused.text)[1].replace("&amp;", "&")
    assert "say why" in visitor.send("/library/a/review", **form | {"back": again}).text
    assert anchors(visitor.send("/library/a/review", **form, reason="no").text, "e") == shown[1:]
