"""No text takes a pattern or a function of the project more than a line's time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from growth.found import IN_WORKERS, ROOT, functions, patterns
from growth.measure import grows, of_pieces, run_as, run_function
from growth.texts import attacks

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
    eaten = set(functions())
    assert {
        "tfgrpo.graders.choice_reading.chosen_letters",
        "tfgrpo.graders.number_reading.read_number",
        "tfgrpo.graders.extract.final_answer",
        "tfgrpo.graders.judge_reply.read_verdict",
        "tfgrpo.prompting.json_repair.recover_json",
        "tfgrpo.prompting.thinking.after_thinking",
        "tfgrpo.replies.parse_edits",
        "tfgrpo.lessons.scanners.scan.scan",
        "tfgrpo.lessons.leakage.leak_reason",
        "experience_db.lesson_lists.read_list",
    } <= eaten


def test_what_is_left_to_workers_runs_in_them():
    """Each module that is left out says why, and exists."""
    for name, why in IN_WORKERS.items():
        assert (ROOT / f"{name.replace('.', '/')}.py").exists(), name
        assert "runs" in why


@pytest.mark.slow
def test_nothing_grows_faster_than_its_text():
    """Every pattern and every function that eats text, found by walking the modules, measured from n to 4 n."""
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    ran = subprocess.run([sys.executable, "-m", "growth.measure"], capture_output=True, text=True, env=env, check=False)
    tried = ran.stderr.strip().splitlines()[-1:]
    assert ran.returncode == 0, f"it met its limit on CPU time while {tried}"
    assert ran.stdout.strip().endswith(" 0 grow too fast"), ran.stdout
