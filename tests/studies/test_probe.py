"""What an endpoint does is found by asking it, kept, and used: for the block of new libraries and for a warning."""

import json
from contextlib import AsyncExitStack

import pytest

from experience_db import Edit, Op, Store
from tfgrpo import api, build
from tfgrpo.backends.endpoints import endpoints_of
from tfgrpo.config.engine import EngineConfig
from tfgrpo.lessons.blocks import choose_block, probed_template, template_of, warning
from tfgrpo.prompting import templates
from tfgrpo.studies.probe import probe

MODEL = f"scripted/{__name__}:late_reader"
ANSWERS = {"yes or no": "Yes.", "JSON": '{"a": 1}', "numbered": "1. One", "Step 1": "Step 1: go"}


def late_reader(request):
    """A model that follows what stands at the end of the user's turn, and reads no system message."""
    asked = request.messages[-1]["content"]
    return next((answer for word, answer in ANSWERS.items() if word in asked), f"I like {request.sampling.seed}.")


@pytest.fixture
def store(tmp_path):
    """A database for facts."""
    with Store.open(tmp_path / "facts.db") as opened:
        yield opened


async def test_the_block_that_is_followed_becomes_that_of_new_libraries(store, tmp_path):
    """The safest block that is followed about as often as any other is chosen, kept, and given to new libraries."""
    found = await probe(MODEL, (), EngineConfig(), store)
    assert found.follows["default, system"] == 0.0
    assert found.follows["default, user_end"] == 1.0
    assert found.block == "default, user_end"
    assert found.facts["seed"] is True
    assert found.facts["schema"] is False
    line = endpoints_of(MODEL, (), EngineConfig())
    assert probed_template(store, line) == template_of("default, user_end")
    wanted = api.setup(model=MODEL, grader="exact", db=store.path)
    async with AsyncExitStack() as stack:
        assert build.open_components(wanted, store, stack).block() == template_of("default, user_end")
        asked = api.setup(model=MODEL, grader="exact", db=store.path, lessons__place="system")
        assert build.open_components(asked, store, stack).block() == templates.load().block()


async def test_a_block_that_is_not_followed_is_told_before_a_run(store):
    """A library in a block that the endpoint does not follow brings a sentence with the block that it does follow."""
    line = endpoints_of(MODEL, (), EngineConfig())
    assert warning(store, line, template_of("default, system")) == ""
    await probe(MODEL, (), EngineConfig(), store)
    said = warning(store, line, template_of("default, system"))
    assert "(default, system) in 0% of replies" in said
    assert "--prompts default --place user_end" in said
    assert warning(store, line, template_of("small, user_end")) == ""


async def test_prompts_that_cannot_apply_are_told(store):
    """A library with lessons keeps its block, and an evaluation with other prompts says so."""
    library = store.create_library("web")
    store.commit("web", [Edit(Op.ADD, "Look.")], parent=library.version)
    store.close()
    said = await api.evaluate([{"question": "a", "answer": "b"}], library="web", model=MODEL, grader="exact",
                              db=store.path, prompts="small")  # fmt: skip
    assert any("the block of lessons is that of library 'web'" in note for note in said.notes)


def test_nothing_is_chosen_where_nothing_is_followed():
    """Without a block that is followed there is no choice; within the margin the safer one wins."""
    assert choose_block({"default, system": 0.05, "small, user_end": 0.1}) is None
    assert choose_block({"default, system": 0.5, "small, user_end": 0.55}) == "default, system"
    assert choose_block({"default, system": 0.3, "small, user_end": 0.55}) == "small, user_end"


def test_the_block_of_a_library_can_be_shown_and_changed(tmp_path):
    """`lessons block` prints what a model reads, and makes a new version with other words and another place."""
    from typer.testing import CliRunner

    from tfgrpo.cli.app import app

    db = tmp_path / "x.db"
    with Store.open(db) as opened:
        opened.commit("default", [Edit(Op.ADD, "Look.")], parent=opened.create_library("default").version)
    run = CliRunner()
    assert "[1] Look." in run.invoke(app, ["lessons", "block", "--db", str(db)]).output
    changed = run.invoke(app, ["lessons", "block", "--prompts", "small", "--db", str(db)])
    assert changed.exit_code == 0
    with Store.open(db) as opened:
        library = opened.library("default")
        assert (library.version, library.block(), library.place) == (2, "Look.", "user_end")
    assert json.dumps(changed.output)
