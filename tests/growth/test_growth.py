"""No text takes a pattern or a function of the project more than a line's time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from growth.found import IN_WORKERS, ROOT, patterns, unreadable_patterns
from growth.measure import SHORT, grows, of_pieces, run_as, run_function
from growth.readers import readers
from growth.texts import attacks

NOT_CALLED = {
    "experience_db.lessons.Lessons.search": "asks SQLite, in rounds that its limit bounds",
    "experience_db.libraries.Libraries.create_library": "writes a database; its patterns are measured alone",
    "experience_db.live.Session.inject": "goes on in functions that are measured",
    "experience_db.runs.Runs.usage": "asks SQLite",
    "experience_db.stored_lessons.StoredLessons.search": "asks SQLite",
    "experience_db.texts.Texts._packed": "writes a database; walks a value that the door bounded",
    "experience_db.texts.Texts.from_columns": "asks SQLite; its pattern is measured alone",
    "experience_db.texts.Texts.to_column": "writes a database; its pattern is measured alone",
    "experience_db.texts.Texts.to_json": "writes a database; walks a value that the door bounded",
    "experience_db.upkeep.Upkeep.backup": "copies a database",
    "tfgrpo.backends.local.engine._ready": "reads what our own child says",
    "tfgrpo.backends.tiny.backend.chat_ids": "goes on in the tokenizer",
    "tfgrpo.environments.retrieving.RetrievingPrompts.offered": "asks the environment inside",
    "tfgrpo.environments.retrieving.RetrievingPrompts.prompt": "goes on in functions that are measured",
    "tfgrpo.environments.tool_loop.ToolLoop._without_tools": "its pattern is measured alone",
    "tfgrpo.evaluation.record.record_evaluation": "writes a database",
    "tfgrpo.graders.factory.JudgeConnection.with_model": "takes names of models",
    "tfgrpo.graders.factory.judges": "walks the parts of a grader",
    "tfgrpo.learning.components.Components.block_line": "takes names of models",
    "tfgrpo.learning.start.start_run": "takes a person's settings",
    "tfgrpo.proxy.recorder.Recorder.begin": "waits for a place in a queue",
    "tfgrpo.serve.vllm._await_health": "waits for a process",
    "tfgrpo.sessions.cycle.enqueue": "writes a database",
    "tfgrpo.system.workers.Worker._read": "reads what our own worker answers, by pieces",
    "tfgrpo.ui.lesson_rows.lesson_page": "asks SQLite; looks for the words of one address",
    "tfgrpo.ui.state.render": "fills a template; what it shows goes through filters that are measured",
}
"""Functions whose other arguments nobody can make up, each with why no text makes them grow."""
PARTS = 4
MADE = {
    "tfgrpo.lessons.leakage._stated": "of escaped words",
    "tfgrpo.lessons.scanners.required_literals": "of a pattern of the package's table",
    "tfgrpo.lessons.scanners.signs._sign": "of the package's table; each result is in the table that is walked",
}

BOMBS = [r"\s*x\s*\Z", r"^(.*?),(.*?);", r"<\s*/?\s*b", r"(?:\w+\.)+com", r"the\s*\w*\s*answer", r"a.*b.*c"]


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_pattern_that_grows_too_fast_is_found(bomb):
    """The attacks are made from the pattern itself: a square is seen in each of these."""
    pattern = re.compile(bomb)
    assert any(grows(run_as(pattern, frozenset({"search"})), of_pieces(*form)) for form in attacks(pattern))


def test_a_function_that_grows_too_fast_is_found():
    """A loop over the rest of the text for each sign of it is a square."""
    assert grows(run_function(lambda text: [x for i in range(len(text)) for x in text[i:]]), of_pieces("", "a", "!"))


def test_what_grows_like_the_text_is_let_alone():
    """A line is no square."""
    assert not grows(run_function(lambda text: sorted(text * 200)), of_pieces("", "a", "!"))


@pytest.mark.slow
def test_the_walk_finds_what_is_known_to_meet_text():
    """Module constants, tables, patterns in calls and functions of one text are all among what is tried."""
    names = set(patterns())
    assert {"tfgrpo.graders.extract._TAG", "tfgrpo.graders.choice_reading.STRONG[0]"} <= names
    assert any(name.startswith("tfgrpo.lessons.scanners.signs.all_signs[") for name in names)
    assert any(name.startswith("tfgrpo.lessons.leakage:") for name in names)
    eaten = set(readers()[0])
    assert {
        "tfgrpo.graders.choice_reading.chosen_letters",
        "tfgrpo.graders.number_reading.read_number",
        "tfgrpo.graders.extract.final_answer",
        "tfgrpo.graders.judge_reply.read_verdict",
        "tfgrpo.prompting.json_repair.recover_json",
        "tfgrpo.prompting.thinking.after_thinking",
        "tfgrpo.replies.parse_edits",
        "tfgrpo.lessons.scanners.scan_texts.scan",
        "tfgrpo.lessons.leakage.leak_reason",
        "experience_db.lesson_lists.read_list",
        "experience_db.foreign.read_foreign",
        "experience_db.formats.with_section",
        "tfgrpo.backends.wire.unique_calls",
        "tfgrpo.proxy.recording._streamed",
        "tfgrpo.readers.row.flatten_numbers",
        "tfgrpo.cli.terminal_output.printable",
        "tfgrpo.sharing.card._line",
        "tfgrpo.system.redact.clean_data",
    } <= eaten


@pytest.mark.slow
def test_what_cannot_be_called_is_named():
    """A function that is given text and may grow is called by the walk, or stands in the list with what it needs."""
    assert set(readers()[1]) == set(NOT_CALLED)


@pytest.mark.slow
def test_no_pattern_hides():
    """Patterns made of what a function is given are few and named; `re` goes by its own name."""
    assert unreadable_patterns() == set(MADE)


def test_what_is_left_to_workers_runs_in_them():
    """Each module that is left out says why, and exists."""
    for name, why in IN_WORKERS.items():
        assert (ROOT / f"{name.replace('.', '/')}.py").exists(), name
        assert "runs" in why


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
def test_nothing_grows_faster_than_its_text(part):
    """Every pattern and every function that eats text, found by walking the modules, measured from n to 4 n."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    command = [sys.executable, "-m", "growth.measure", str(part), str(PARTS)]
    ran = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    tried = ran.stderr.strip().splitlines()[-1:]
    assert ran.returncode == 0, f"it met its limit on CPU time while {tried}"
    assert ran.stdout.strip() == "0 grow too fast", ran.stdout


@pytest.mark.slow
def test_what_is_named_as_short_is_there():
    """No name stands in the list of short ones whose function is gone."""
    assert set(SHORT) <= set(readers()[0])
