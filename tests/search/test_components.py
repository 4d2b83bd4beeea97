"""Candidates of several components: instructions and descriptions of tools are versions and merges like lessons."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.script import ASKED, edits, rows, text_of

from experience_db import Lesson, Library, Store, prompt_parts
from search.world import model, reflect, search
from tests.environments.test_tool_loop import PROBLEM, SLOT, looping
from tfgrpo.backends import Scripted
from tfgrpo.environments import SingleTurn
from tfgrpo.errors import UsageError
from tfgrpo.prompting import templates
from tfgrpo.search.components import ComponentRequest, all_components, round_robin
from tfgrpo.types import Request

INSTRUCTED = prompt_parts.part_text("instructions", "Say it in\none word.")
DESCRIBED = prompt_parts.part_text("tool lookup", "Finds birthdays.")


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A database file that is not there yet."""
    return tmp_path / "x.db"


def library(*texts: str) -> Library:
    """A version with these lessons."""
    return Library("x", 1, tuple(Lesson(i, text, 1, 1) for i, text in enumerate(texts, 1)))


def test_a_part_is_a_lesson_that_says_what_it_stands_for():
    """Name and words come back; anything else is a lesson like any other."""
    assert prompt_parts.part_of(INSTRUCTED) == ("instructions", "Say it in\none word.")
    assert prompt_parts.part_of(DESCRIBED) == ("tool lookup", "Finds birthdays.")
    assert prompt_parts.part_of("Instead of the car, take the bus.") is None
    rest, told = prompt_parts.apart(library(INSTRUCTED, "Look twice.", INSTRUCTED), ("instructions",))
    assert ([x.text for x in rest], told) == (["Look twice."], {"instructions": "Say it in\none word."})


def test_of_two_lessons_for_one_part_one_stays():
    """The one of the side that goes first, else the one of the lowest id."""
    other = prompt_parts.part_text("instructions", "Say two words.")
    both = library(INSTRUCTED, "Look twice.", other).lessons
    assert [x.id for x in prompt_parts.one_of_each_part(both)] == [1, 2]
    assert [x.id for x in prompt_parts.one_of_each_part(both, {3})] == [2, 3]


async def test_instructions_of_a_library_take_the_place_of_those_of_the_run():
    """They are no lesson in the block; without them the run's own stand there."""
    backend = Scripted(["a", "b"])
    asking = SingleTurn(backend, "m", templates.load(), "Think hard.")
    await asking(PROBLEM, library(INSTRUCTED, "Look twice."), SLOT)
    await asking(PROBLEM, library("Look twice."), SLOT)
    with_part, without = (str(r.messages[0]["content"]) for r in backend.requests)
    assert with_part.startswith("Say it in\none word.")
    assert "Look twice." in with_part
    assert "Instead of" not in with_part
    assert "Think hard." not in with_part
    assert without.startswith("Think hard.")


async def test_where_a_prompt_has_no_place_for_instructions_they_stand_in_the_block():
    """The prompt set `tiny` has none."""
    backend = Scripted(["a"])
    await SingleTurn(backend, "m", templates.load("tiny"))(PROBLEM, library(INSTRUCTED), SLOT)
    assert "Instead of the instructions" in text_of(backend.requests[0])


@pytest.mark.parametrize("protocol", ["functions", "text"])
async def test_a_tool_is_described_as_the_library_says(protocol):
    """In what the endpoint is sent, or in the prompt; for scoring stored rollouts too."""
    loop, backend = looping("Ada", "Ada", protocol=protocol)
    await loop(PROBLEM, library(DESCRIBED), SLOT)
    await loop(PROBLEM, library(), SLOT)
    sent = [json.dumps(r.tools) + str(r.messages[0]["content"]) for r in backend.requests]
    assert "Finds birthdays." in sent[0]
    assert "Instead of" not in sent[0]
    assert "Finds birthdays." not in sent[1]
    if protocol == "functions":
        assert loop.offered(library(DESCRIBED)) == backend.requests[0].tools
    assert loop.prompt(PROBLEM, library(DESCRIBED)) == backend.requests[0].messages


def told(request: Request) -> str:
    """Solve a problem only where the instructions say how."""
    found = ASKED.search(text_of(request))
    assert found is not None
    return f"Answer: {2 * int(found[2]) if text_of(request).startswith('Double every figure.') else found[2]}"


def writes(request: Request) -> str:
    """Write instructions where they are asked for, else nothing."""
    asked = text_of(request)
    return edits({"op": "ADD", "text": "Double every figure.", "attempts": [1]} if "It is: the instr" in asked else {})


def test_a_search_writes_the_instructions_and_they_are_a_version_with_evidence(db):
    """Proposals take the components in turn; what the instructions earn is measured as for lessons."""
    playing = model(rollout=told, evaluate=told, reflect=writes)
    result = search(playing, db, search__components="library,instructions")
    assert [prompt_parts.part_of(x.text) for x in result.library] == [("instructions", "Double every figure.")]
    assert result.summary["heldout"]["after"] == 1.0
    asked = playing.asked("reflect")
    assert sum("It is: the instr" in text for text in asked) == sum("## The library now" in t for t in asked) / 2
    with Store.open(db, readonly=True) as store:
        assert store.evidence("default", 1)[0].estimate == 1.0
    again = model()
    search(again, db, search__components="library,instructions")
    assert not again.requests, "what was written is in the journal"


def test_written_again_the_same_lesson_changes(db):
    """The second text of a part is an UPDATE of the first, so that merges see one thing with two wordings."""
    count = iter(range(99))

    def better(request: Request) -> str:
        said = re.search(r"Level (\d+)", text_of(request))
        level = int(said[1]) if said else -1
        return edits({"op": "ADD", "text": f"Level {level + 1}. {next(count)}.", "attempts": [1]})

    def by_level(request: Request) -> str:
        found, said = ASKED.search(text_of(request)), re.search(r"Level (\d+)", text_of(request))
        assert found is not None
        right = said and int(found[2]) % 4 <= int(said[1])
        return f"Answer: {2 * int(found[2]) if right else found[2]}"

    result = search(
        model(rollout=by_level, evaluate=by_level, reflect=better), db, search__components="instructions",
        search__parents=1, search__proposals=1, epochs=3,
    )  # fmt: skip
    ((part, words),) = [prompt_parts.part_of(x.text) for x in result.library]
    assert part == "instructions"
    assert not words.startswith("Level 0.")
    assert [x.id for x in result.library] == [1]


def test_all_components_are_written_at_once_and_tried_together(db):
    """One reflection each, one child."""
    playing = model(
        rollout=told, evaluate=told, reflect=lambda r: writes(r) if "It is: the instr" in text_of(r) else reflect(r)
    )
    result = search(
        playing, db, search__components="library,instructions", search__component="all", search__steps=1,
        search__parents=1, search__proposals=1,
    )  # fmt: skip
    assert playing.calls["reflect"] == 2
    assert {bool(prompt_parts.part_of(x.text)) for p in result.steps[0].proposals for x in [p.edit]} == {True, False}


def test_components_are_chosen_in_turn_or_all():
    """A function of the proposal's number alone."""
    draws = [ComponentRequest(("library", "instructions"), n, n % 2, 0) for n in range(3)]
    assert [round_robin(d) for d in draws] == [("library",), ("instructions",), ("library",)]
    assert all_components(draws[0]) == ("library", "instructions")


@pytest.mark.parametrize("given", ["", "lessons", "library,prompt"])
def test_an_unknown_component_is_refused_before_any_call(db, given):
    """One sentence that names what there is."""
    playing = model()
    with pytest.raises(UsageError, match="give one or more of: library, instructions, tools"):
        search(playing, db, search__components=given)
    assert not playing.requests


def test_shares_of_a_minibatch_are_reflected_on_and_brought_together(db):
    """Nine attempts make three questions and one that consolidates; each lesson rests on attempts of its own share."""
    playing = model(
        consolidate=lambda r: edits(*({"op": "ADD", "text": text, "attempts": [n]} for n, text in numbered(text_of(r))))
    )
    result = search(
        playing, db, search__reflection="map-reduce", search__minibatch=9, search__steps=1, search__parents=1,
        search__proposals=1, problems=rows(12),
    )  # fmt: skip
    assert playing.calls["reflect"] == 3
    assert playing.calls["consolidate"] == 1
    assert all(text.count("### Attempt") == 3 for text in playing.asked("reflect"))
    assert len(result.library) > 0
    assert all(len({s.problem_id for s in x.sources}) <= 3 for x in result.library)


def numbered(text: str) -> list[tuple[int, str]]:
    """The proposals in a question to consolidate, each once."""
    found = re.findall(r"^(\d+)\. ADD \(support \d+\): (.+?) \| reason", text, re.MULTILINE)
    return [(int(n), said) for n, said in {said: (n, said) for n, said in found}.values()]
