"""The page itself: whole, escaped, self-contained, and with everything that the run left behind."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import pytest
from report_stores import ATTACKS, HARMFUL, LATEX, Page, bare_run, large_run
from support.script import lesson

from experience_db import Store
from tfgrpo.report import gather, page, to_html, to_json, to_markdown
from tfgrpo.report.formatting import visible


@pytest.fixture(scope="module")
def night_page(night):
    """The parsed page of the scripted run."""
    return Page(to_html(night))


def test_a_page_is_balanced_and_its_places_are_unique(night_page):
    """Every element is closed in order, every id exists once, every link inside the page leads somewhere."""
    assert night_page.faults == []
    ids = night_page.attributes("id")
    assert len(ids) == len(set(ids))
    named = [h.removeprefix("#") for h in night_page.attributes("href")]
    assert set(named) <= set(ids)
    assert {name for a in night_page.attributes("aria-labelledby") for name in a.split()} <= set(ids)


def test_the_page_tells_the_whole_story(night, night_page):
    """Headline, lessons with their evidence, the refused edit with its reason, failures and the cost are all there."""
    text = night_page.text()
    assert "Held-out reward rose from 0.250 to 1.000 on the problems that chose the lessons." in text
    for topic in ("granite", "copper", "velvet"):
        assert lesson(topic) in text
    assert HARMFUL in text
    assert re.search(r"harmful: -1\.000 on (\d+) of the \1 problems it touches, 0 won, \1 lost", text)
    assert "overloaded" in text
    assert "learning in all" in text
    assert "proving in all" in text
    assert night.run.fingerprint in text
    assert "gate.kind" in text


def test_each_objective_and_where_an_effect_was_measured_are_shown(night):
    """Means before and after of each value apart, and of a chosen effect that it is chosen and on which problems."""
    headline = replace(night.headline, objectives={"short": (0.9, 0.4), "tokens": (12.0, None)})
    apart = replace(night, headline=headline)
    text = Page(to_html(apart)).text()
    assert re.search(r"short\s*0\.900\s*0\.400\s*tokens\s*12\.000", text)
    assert re.search(
        r"on the problems it touches \(\d+ of \d+\), \+\d\.\d\d over all; selected, so rather too large", text
    )
    told = to_markdown(apart)
    assert "| short | 0.900 | 0.400 |" in told
    assert "selected, so rather too large" in told


def test_lessons_link_to_the_rollouts_they_rest_on(night_page):
    """The lineage of a lesson ends at rollouts that are on the page."""
    linked = {h.removeprefix("#") for h in night_page.attributes("href") if h.startswith("#r-")}
    assert linked
    assert linked <= set(night_page.attributes("id"))


def test_structure_serves_readers_without_eyes_or_mouse(night_page):
    """Headings do not skip a level, tables have captions and headers, scrolling regions have names and focus."""
    levels = [int(tag[1]) for tag, _ in night_page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    tags = [tag for tag, _ in night_page.elements]
    assert tags.count("table") == tags.count("caption")
    assert all("scope" in attributes for tag, attributes in night_page.elements if tag == "th")
    regions = [attributes for _, attributes in night_page.elements if attributes.get("role") == "region"]
    assert all(r["tabindex"] == "0" and r["aria-label"] for r in regions)
    assert ("a", {"class": "skip", "href": "#main"}) in night_page.elements
    assert ("html", {"lang": "en"}) in night_page.elements


def test_the_page_loads_nothing(night_page, night):
    """There is no address in it, and its policy forbids the rest; only its own script may run."""
    assert {"src", "srcset", "action", "onclick"} & {k for _, a in night_page.elements for k in a} == set()
    assert {"img", "link", "iframe", "form", "object"} & {tag for tag, _ in night_page.elements} == set()
    (policy,) = [a["content"] for _, a in night_page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "url(" not in to_html(night)
    assert "@import" not in to_html(night)


def test_the_same_run_makes_the_same_bytes(night_db, night):
    """A page says nothing about when it was made, so it can be compared."""
    with Store.open(night_db, readonly=True) as store:
        assert to_html(gather(store, "night")) == to_html(night)


def test_a_hostile_run_stays_text(hostile):
    """Every attack is shown as it was written, and adds no element, attribute or link to the page."""
    html = to_html(hostile)
    found = Page(html)
    assert found.faults == []
    shown = found.text()
    for attack in ATTACKS:
        assert visible(attack) in shown
    assert [tag for tag, _ in found.elements].count("script") == 1
    assert not [a for _, a in found.elements if any(key.startswith("on") for key in a)]
    assert all(h.startswith("#") for h in found.attributes("href"))
    assert all(re.fullmatch(r"[a-z]+(-[a-z0-9]+)*", i) for i in found.attributes("id"))
    assert "1337" not in html
    assert "root:" not in html
    html.encode("utf-8")


def test_hostile_texts_stay_text_in_markdown(hostile):
    """Outside of code blocks no sign of theirs is markup."""
    outside = re.sub(r"^(`{3,})text\n.*?^\1$", "", to_markdown(hostile), flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"(?<!\\)<", outside)
    assert not re.search(r"(?<!\\)\]\(", outside)
    assert "\n# heading" not in outside


def test_formulas_stay_readable(tmp_path):
    """LaTeX arrives as it was written."""
    found = speaking(tmp_path, LATEX)
    assert LATEX in Page(to_html(found)).text()
    assert LATEX in to_markdown(found)


def speaking(tmp_path, answer):
    """A small run in which every rollout says `answer`."""
    db = tmp_path / "x.db"
    large_run(db, groups=1, size=2, length=0, steps=1)
    with Store.open(db) as store:
        group = store.groups("big")[0]
        spoken = [{**r, "answer": answer} for r in group["rollouts"]]
        store.record_group(
            "big", 0, problem=group["problem"], status="flat", version=0, rollouts=spoken, rewards=[1.0, 1.0]
        )
        return gather(store, "big")


def test_500_long_rollouts_stay_below_5_mb(large):
    """A page that would grow too large leaves groups out, says how many, and --all brings them back."""
    html = to_html(large)
    assert len(html.encode()) < 5_000_000
    assert re.search(r"\d+ groups left out", html)
    whole = to_html(large, everything=True)
    assert not re.search(r"\d+ groups left out", whole)
    assert whole.count('class="rollout"') == 500
    assert len(to_markdown(large).encode()) < 5_000_000


@pytest.mark.parametrize("status", ["running", "interrupted", "failed", "finished"])
def test_a_run_that_left_nothing_still_makes_a_page(tmp_path, status):
    """An empty run says for each part that there is nothing, and how it ended."""
    db = tmp_path / "x.db"
    bare_run(db, status, "learn")
    with Store.open(db, readonly=True) as store:
        found = gather(store, "bare")
    parsed = Page(to_html(found))
    assert parsed.faults == []
    assert "no held-out reward" in parsed.text()
    assert ("warning" in parsed.attributes("class")) is (status != "finished")
    assert to_markdown(found)


def test_an_evaluation_shows_no_learning(tmp_path):
    """A run of another kind has neither a curve nor a funnel, and no link to them."""
    db = tmp_path / "x.db"
    bare_run(db, "finished")
    with Store.open(db, readonly=True) as store:
        ids = set(Page(to_html(gather(store, "bare"))).attributes("id"))
    assert not {"curve", "funnel", "refused", "versions", "rollouts"} & ids
    assert {"result", "lessons", "cost", "failures", "controls", "setup"} <= ids


def test_json_is_everything_behind_the_page(hostile, night):
    """It parses strictly, and holds the lessons, their evidence and all groups."""

    def refuse(name: str) -> None:
        raise AssertionError(name)

    made = json.loads(to_json(night), parse_constant=refuse)
    assert made["headline"]["verdict"] == "better"
    assert len(made["groups"]) == 8
    assert all(story["evidence"] for story in made["lessons"])
    assert json.loads(to_json(hostile))["lessons"][0]["lesson"]["text"] == ATTACKS[0]


def test_the_policy_names_the_script_of_the_page(hostile):
    """Had anything slipped through, the browser would still run this one script only."""
    found = Page(to_html(hostile))
    (script,) = [data for tag, data in found.texts if tag == "script"]
    assert script == str(page.assets()["script"])
