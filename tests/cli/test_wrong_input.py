"""Wrong input ends with exit code 2, an empty stdout, no model call, no new file, and one sentence that helps."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from support.rights import bound_by_rights
from support.script import Model, play, rows, write

WRONG = {
    "no such dataset": (("learn", "nofile.jsonl"), "no dataset 'nofile.jsonl'; give a .jsonl or .csv file"),
    "nearly such a dataset": (("learn", "lern.jsonl"), "no dataset 'lern.jsonl' (did you mean 'learn.jsonl'?); give a"),
    "bad JSON": (("learn", "bad.jsonl"), "bad.jsonl:2: not JSON"),
    "no question": (("learn", "empty.jsonl"), "empty.jsonl:1: no 'question'; the row has 'answer'"),
    "the same row twice": (("learn", "twice.jsonl"), "twice.jsonl:2: same id"),
    "no rows": (("learn", "none.jsonl"), "none.jsonl holds no rows"),
    "unknown grader": (("learn", "learn.jsonl", "--grader", "exat"), "no grader 'exat'; did you mean 'exact'?"),
    "grader that cannot be imported": (("learn", "learn.jsonl", "--grader", "no.where:x"), "'no.where:x' cannot be"),
    "unknown method": (("learn", "learn.jsonl", "--method", "magic"), "no method 'magic'; there are: "),
    "unknown key": (
        ("learn", "learn.jsonl", "-s", "rollout.grop_size=3"),
        "unknown configuration key 'rollout.grop_size'; did you mean rollout.group_size?",
    ),
    "key without value": (("learn", "learn.jsonl", "-s", "epochs"), "an override looks like a.b=value, not 'epochs'"),
    "wrong type": (("learn", "learn.jsonl", "-s", "epochs=many"), "epochs must be a whole number, not 'many'"),
    "unknown word": (("learn", "learn.jsonl", "-s", "lessons.stages=five"), "lessons.stages is 'five'; there are: c"),
    "epochs 0": (("learn", "learn.jsonl", "--epochs", "0"), "epochs is 0; give at least 1"),
    "batch size 0": (("learn", "learn.jsonl", "--batch-size", "0"), "batch_size is 0; give at least 1"),
    "group size 1": (("learn", "learn.jsonl", "--group-size", "1"), "rollout.group_size is 1; give at least 2"),
    "limit 0": (("learn", "learn.jsonl", "--limit", "0"), "limit is 0; give at least 1"),
    "concurrency 0": (("learn", "learn.jsonl", "--concurrency", "0"), "engine.concurrency is 0; give at least 1"),
    "negative budget": (("learn", "learn.jsonl", "--budget-calls=-1"), "budget.calls is -1; give at least 0"),
    "no config file": (("learn", "learn.jsonl", "--config", "no.toml"), "cannot read configuration no.toml"),
    "broken config file": (("learn", "learn.jsonl", "--config", "bad.toml"), "bad.toml is not valid TOML"),
    "no prompt folder": (("learn", "learn.jsonl", "--prompts", "nowhere"), "the prompt folder nowhere does not exist"),
    "field without column": (("learn", "learn.jsonl", "--field", "question"), "--field looks like question=COLUMN"),
    "unknown field": (("learn", "learn.jsonl", "--field", "text=x"), "unknown field 'text'"),
    "fraction of held-out problems": (
        ("learn", "learn.jsonl", "--heldout", "1.5"),
        "--heldout is a file or a fraction",
    ),
    "no held-out file": (("learn", "learn.jsonl", "--heldout", "no.jsonl"), "no dataset 'no.jsonl'"),
    "overlap": (
        ("learn", "learn.jsonl", "--heldout", "learn.jsonl"),
        "--heldout overlaps with the learning problems: 4",
    ),
    "gate without held-out problems": (("learn", "learn.jsonl", "--heldout", "0"), "gate 'paired' needs held-out"),
    "unknown gate": (("learn", "learn.jsonl", "--gate", "pared"), "no gate 'pared'; did you mean 'paired'?"),
    "unknown gate option": (
        ("learn", "learn.jsonl", "-s", "gate.options.speed=3"),
        "gate 'paired' does not take these options: Design.__init__() got an unexpected keyword argument 'speed'; it "
        "takes: alpha, ",
    ),
    "no database": (("learn", "learn.jsonl", "--db", "text.db"), "text.db is no database or is damaged"),
    "foreign database": (("learn", "learn.jsonl", "--db", "foreign.db"), "foreign.db"),
    "folder that is not there": (("learn", "learn.jsonl", "--db", "no/where.db"), "no"),
    "unknown library": (
        ("eval", "learn.jsonl", "--library", "nope"),
        "there is no database experience.db, so no library 'nope'",
    ),
    "unknown version": (("eval", "learn.jsonl", "--library", "default@x"), "NAME or NAME@VERSION with a whole number"),
    "unknown control": (("eval", "learn.jsonl", "--control", "none"), "no control 'none'; there are: same, empty"),
    "nothing to grade": (("grade", "nofile.jsonl"), "no file 'nofile.jsonl'; give a .jsonl or .csv file of answers"),
    "no rows to grade": (("grade", "none.jsonl"), "none.jsonl holds no rows"),
    "row without answer": (("grade", "learn.jsonl"), "learn.jsonl:1: no response (or pred); each row needs"),
    "no place to write": (("grade", "graded.jsonl", "-o", "no/out.jsonl"), "cannot write no/out.jsonl"),
}


@pytest.fixture
def files(cli: object, tmp_path: Path) -> None:
    """Files with faults."""
    tmp_path.joinpath("bad.jsonl").write_text('{"question": "a", "answer": "1"}\n{"question": oops}\n')
    tmp_path.joinpath("empty.jsonl").write_text('{"answer": "1"}\n')
    write(tmp_path / "twice.jsonl", [rows(1)[0], {**rows(1)[0], "question": "another?"}])
    write(tmp_path / "graded.jsonl", [{"answer": "1", "response": "1"}])
    tmp_path.joinpath("none.jsonl").write_text("\n")
    tmp_path.joinpath("bad.toml").write_text("epochs = = 3")
    tmp_path.joinpath("text.db").write_text("this is no database, it is only a text " * 10)
    with sqlite3.connect(tmp_path / "foreign.db") as other:
        other.execute("CREATE TABLE birds (name TEXT)")
    other.close()


@pytest.mark.parametrize(("command", "said"), WRONG.values(), ids=WRONG.keys())
@pytest.mark.usefixtures("files")
def test_wrong_input_ends_with_2_and_a_sentence(cli, tmp_path, command, said):
    """What, where, what to do next; nothing was called and nothing written."""
    model = Model()
    given = list(command)
    if "--grader" not in given:
        given += ["--grader", "exact"]
    if command[0] != "grade":
        given += ["--model", play(model, "cli")]
    before = sorted(tmp_path.iterdir())
    result = cli(*given, "--json") if command[0] != "grade" else cli(*given)
    assert result.exit_code == 2, result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert model.requests == []
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("command", ["add", "search"])
def test_no_words_are_no_lesson_and_nothing_to_look_for(cli, command):
    """Blanks alone end with 2 and what to write."""
    cli("lessons", "add", "Look twice.")
    result = cli("lessons", command, " ")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "words" in result.stderr


def test_a_missing_option_is_named(cli):
    """The command line itself says what it wants."""
    result = cli("learn", "learn.jsonl", "--grader", "exact")
    assert result.exit_code == 2
    assert "--model" in result.stderr


@pytest.mark.parametrize("command", ["nope", "lessons nope", "learn --nope"])
def test_unknown_commands_and_options_end_with_2(cli, command):
    """A slip of the finger changes nothing."""
    assert cli(*command.split()).exit_code == 2


def test_an_address_without_a_server_is_named_at_once(cli):
    """A dead endpoint ends the run with 1, names the address, and is not tried for minutes."""
    ask = ("--grader", "exact", "--model", "openai/x", "--base-url", "http://127.0.0.1:1/v1", "--json")
    result = cli("learn", "learn.jsonl", *ask)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "nothing answers at http://127.0.0.1:1/v1" in result.stderr
    assert "check the base URL and that the server runs" in result.stderr
    assert cli("runs", "list").stdout.split()[2] == "failed"


def test_a_missing_key_is_named_before_anything_happens(cli, tmp_path):
    """openai/NAME without a key and without an address cannot work."""
    result = cli("learn", "learn.jsonl", "--grader", "exact", "--model", "openai/gpt-x")
    assert result.exit_code == 2
    assert "OPENAI_API_KEY is not set" in result.stderr
    assert not tmp_path.joinpath("experience.db").exists()


UNKNOWN_MODEL = {
    "learn": ("learn", "learn.jsonl", "--grader", "exact", "--model", "MODEL"),
    "learn, before it runs": ("learn", "learn.jsonl", "--grader", "exact", "--model", "MODEL", "--dry-run"),
    "writer": ("learn", "learn.jsonl", "--grader", "exact", "--model", "tiny", "--summarizer-model", "MODEL"),
    "eval": ("eval", "learn.jsonl", "--grader", "exact", "--model", "MODEL"),
    "compare": ("compare", "learn.jsonl", "--grader", "exact", "--model", "MODEL", "--methods", "default,grpo"),
    "prove": ("prove", "learn.jsonl", "--on", "held.jsonl", "--grader", "exact", "--model", "MODEL"),
    "judge": ("learn", "learn.jsonl", "--grader", "judge", "-s", "grader.model=MODEL", "--model", "tiny"),
    "probe": ("models", "probe", "MODEL"),
}


@pytest.mark.parametrize("command", UNKNOWN_MODEL.values(), ids=UNKNOWN_MODEL.keys())
@pytest.mark.parametrize("name", ["nope", "nobody/nope"])
def test_a_model_that_nobody_knows_is_refused_in_our_words(cli, command, name):
    """Whatever takes a model: exit code 2, the name, and what to write instead; nothing is begun."""
    result = cli(*(word.replace("MODEL", name) for word in command))
    assert result.exit_code == 2, result.stderr
    assert result.stderr.startswith(f"error: no model is called {name!r} here, and litellm knows no provider for it")
    assert "such as openai/nope" in result.stderr
    assert "--base-url" in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.filterwarnings("ignore::UserWarning")  # of what litellm imports when it looks up a key
def test_a_key_that_its_provider_misses_is_named(cli, monkeypatch):
    """A model that litellm knows, and no key for it: exit code 2, and the variable to export."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    result = cli("eval", "learn.jsonl", "--grader", "exact", "--model", "gpt-4o-mini")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "error: no key for gpt-4o-mini: export OPENAI_API_KEY" in result.stderr
    assert "never awaited" not in result.stderr


def test_money_cannot_be_budgeted_without_a_price(cli):
    """A budget that could not be kept is refused, with the setting that gives a price; given so, it is kept."""
    ask = ("--grader", "exact", "--model", "openai/x", "--base-url", "http://127.0.0.1:1/v1", "--budget-usd", 1)
    result = cli("learn", "learn.jsonl", *ask)
    assert result.exit_code == 2
    assert "the price of x is unknown" in result.stderr
    setting = re.search(r"-s '(.+?)'", result.stderr)
    assert setting is not None
    again = cli("learn", "learn.jsonl", *ask, "-s", setting[1])
    assert "nothing answers at http://127.0.0.1:1/v1" in again.stderr
    wrong = cli("learn", "learn.jsonl", *ask, "-s", 'engine.prices={"openai/x"={prompt="much"}}')
    assert (wrong.exit_code, "engine.prices of openai/x" in wrong.stderr) == (2, True)


def test_a_read_only_database_is_named(learn, tmp_path):
    """Nothing is called when nothing could be recorded."""
    learn("--heldout", "0", "--gate", "open")
    tmp_path.joinpath("experience.db").chmod(0o400)
    with bound_by_rights():
        result = learn("--heldout", "0", "--gate", "open", "--seed", 3)
    assert result.exit_code == 2
    assert "experience.db" in result.stderr


def test_a_gate_that_is_not_there_is_named(cli, model):
    """Whatever --gate takes is listed when it takes something else."""
    result = cli("learn", "learn.jsonl", "--grader", "exact", "--model", play(model), "--gate", "oracle")
    assert result.exit_code == 2
    assert "known: " in result.stderr
    assert "open, paired" in result.stderr


def test_a_config_file_is_checked_like_options(learn, tmp_path):
    """Its keys are known or refused; options on the command line win over it."""
    config = tmp_path / "my.toml"
    config.write_text('epochs = 2\nheldout = "0"\n[gate]\nkind = "open"\n')
    assert "step 1 (epoch 1)" in learn("--config", config).stderr
    config.write_text("[rollout]\ngroupsize = 3\n")
    result = learn("--config", config)
    assert result.exit_code == 2
    assert "did you mean rollout.group_size?" in result.stderr


def test_a_template_that_asks_for_too_much_is_refused_before_the_first_call(learn, tmp_path, model):
    """An override with an unknown variable is an error at once, not in the middle of the run."""
    folder = tmp_path / "mine" / "contrast"
    folder.mkdir(parents=True)
    folder.joinpath("group.md.jinja").write_text("{{ probelm.question }}")
    result = learn("--prompts", tmp_path / "mine")
    assert result.exit_code == 2
    assert "probelm" in result.stderr
    assert model.requests == []
