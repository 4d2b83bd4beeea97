"""Instructions that reach no prompt are told once, before anything is paid for."""

from __future__ import annotations

import pytest
from support.script import Model, play

LEARN = ("learn", "learn.jsonl", "--grader", "exact", "--gate", "open", "--epochs", "1", "--group-size", "2")
EVAL = ("eval", "learn.jsonl", "--grader", "exact")
TOLD = "--instructions has no effect: the template solve/system of the prompt set 'tiny' has no place for it"


@pytest.mark.parametrize("command", [LEARN, EVAL, (*LEARN, "--dry-run")])
def test_a_set_without_a_place_for_instructions_says_so(cli, model, command):
    """Once, naming the set and what to do; with a set that has a place, or without instructions, nothing is said."""
    asked = (*command, "--model", play(model), "--instructions", "Answer in French.")
    assert cli(*asked, "--prompts", "tiny").output.count(TOLD) == 1
    assert "has no effect" not in cli(*asked).output
    assert "has no effect" not in cli(*asked[:-2], "--prompts", "tiny").output


async def agent(problem, lessons):
    """An agent of somebody's own."""
    return "1"


def test_an_agent_gets_no_instructions_and_that_is_said(cli):
    """It has the problem and the lessons, so whoever gives more is told where to put it."""
    own = f"environment.kind={__name__}:agent"
    told = cli(*EVAL, "--model", play(Model()), "-s", own, "--instructions", "Answer in French.")
    assert "--instructions has no effect" in told.output
    assert "which gets the problem and the lessons; tell it there" in told.output


def test_several_models_say_it_once(cli, model):
    """What holds for every cell of a comparison is not said for each of them."""
    two = ("--model", play(model), "--model", play(Model()))
    told = cli(*EVAL, *two, "--instructions", "Answer in French.", "--prompts", "tiny")
    assert told.output.count(TOLD) == 1
