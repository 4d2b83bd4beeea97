"""Lessons that are not missed leave a new candidate, as a second one beside it."""

from __future__ import annotations

from pathlib import Path

from support.script import TOPICS, edits, lesson, rows, text_of

from experience_db import Lesson, Library, Store
from search.world import blank, model, search
from tfgrpo.search.prune import prunable_lessons
from tfgrpo.types import Problem

HARM = "When the topic is maple, halve the figure before you answer."


def solve(request):
    """Fail at maple wherever the harmful lesson is in view."""
    text = text_of(request)
    return "Answer: 0" if HARM in text and "topic maple: what" in text else blank(request)


def reflect(request):
    """Propose a right lesson of a topic that was lost, and the harmful one where another topic makes up for it."""
    text = text_of(request)
    held, _, attempts = text.partition("## The attempts")
    lacking = [lesson(t) for t in TOPICS if f"topic {t}:" in attempts and lesson(t) not in held]
    wanted = [lesson("velvet"), HARM] if lesson("velvet") in lacking else lacking[:1]
    return edits(*({"op": "ADD", "text": words, "attempts": [1]} for words in wanted))


def test_what_a_sibling_learned_wrongly_leaves_the_pool(tmp_path: Path):
    """The pool has a harmful lesson beside good ones; the candidate without it is the final choice."""
    result = search(model(evaluate=solve, reflect=reflect), tmp_path / "x.db", heldout=rows(20, 500), epochs=2)
    with Store.open(tmp_path / "x.db", readonly=True) as store:
        kinds = {o.version: o.kind for o in store.lineage("default")}
        pooled = [v for v, kind in kinds.items() if kind == "pooled"]
        assert any(HARM in {x.text for x in store.library("default", v)} for v in pooled)
        assert "pruned" in kinds.values()
        assert store.verify() == ()
    assert HARM not in {x.text for x in result.library}
    assert lesson("maple") in {x.text for x in result.library}


def library(*texts: str) -> Library:
    """Lessons with ids from 1 on."""
    return Library("x", 1, tuple(Lesson(i, text, 1, 1) for i, text in enumerate(texts, 1)))


def test_new_lessons_and_old_ones_of_the_same_thing_are_suspects():
    """A new lesson alone is no suspect, unless an old one speaks of the same; one without problems never is."""
    problems = [Problem(f"{word}{n}", f"About {word} number {n}.") for word in TOPICS for n in range(5)]
    found = prunable_lessons(library("Double maple.", "Double granite.", "Halve maple."), 3, problems)
    assert [x.id for x, _ in found] == [1]
    assert [p.id for p in found[0][1]] == [f"maple{n}" for n in range(5)]
    both = prunable_lessons(library("Double maple.", "Double granite.", "Double birch."), 1, problems)
    assert [x.id for x, _ in both] == [1, 2]
    assert prunable_lessons(library("Double granite.", "Halve maple."), 2, problems) == ()
