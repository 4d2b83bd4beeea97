"""The house is as its page says: the picture comes from the imports, each room has an opening, and additions work."""

import ast
import re
import runpy
import sys
from pathlib import Path

import pytest

import tfgrpo

ROOT = Path(__file__).parents[1]
HOUSE = runpy.run_path(str(ROOT / "docs" / "generate_architecture.py"))
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
ROOMS = sorted(p.parent for top in ("tfgrpo", "experience_db") for p in (ROOT / top).rglob("__init__.py"))
MINE = """
from tfgrpo.tools import ToolResult, ToolSpec
from tfgrpo.types import Reply, Usage, Verdict

def grade(problem, rollout):
    return float(problem.answer in rollout.answer)

class Backend:
    async def complete(self, request):
        answer = f"{4 + request.attempt % 2}" if request.role == "rollout" else '{"edits": []}'
        return Reply(answer, "stop", Usage(3, 3))

def gate(*, seed):
    async def decide(library, proposals, trial):
        return tuple(Verdict("undecided", (p.edit,), "not asked") for p in proposals)
    return decide

class Clock:
    spec = ToolSpec("clock", "Tells the time.", {"type": "object", "properties": {}})
    fingerprint = {}
    async def __call__(self, arguments, session=""):
        return ToolResult("noon")

def make():
    return Clock()
"""


def test_the_picture_is_up_to_date():
    """docs/architecture.md shows the imports as they are."""
    assert HOUSE["page"](PAGE) == PAGE, "docs/architecture.md is stale; run `python docs/generate_architecture.py`"


def test_the_rooms_have_no_circle():
    """No room leads back to itself, and the arrows that are drawn lead as far as all imports."""
    table = HOUSE["rooms"]()
    far = HOUSE["reach"](table)
    assert not [name for name, below in far.items() if name in below]
    assert HOUSE["reach"](HOUSE["drawn"](table)) == far


OTHER_TESTS = {
    "benchmarks",
    "engine",
    "engine_runs",
    "examples",
    "experience_db",
    "growth",
    "security",
    "support",
    "typing",
}
"""Folders of tests that belong to no single room: whole runs, walls, helpers, the store beside."""


def test_the_tests_mirror_the_rooms():
    """Each room has a folder of tests of its name, and no folder of tests belongs to a room that is gone."""
    rooms = {room.name for room in ROOMS if room.parent.name == "tfgrpo"}
    folders = {folder.name for folder in (ROOT / "tests").iterdir() if next(folder.glob("**/*.py"), None)}
    assert folders == rooms | OTHER_TESTS


@pytest.mark.parametrize("room", ROOMS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_room_has_an_opening(room: Path):
    """A folder says what it is for, what comes in, what goes out, and which file to read first."""
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text(encoding="utf-8"))) or ""
    if room == ROOT / "tfgrpo":
        return  # the package itself speaks to its users
    lines = [line for line in text.splitlines() if line]
    assert 3 <= len(lines) <= 7, text
    assert re.search(r"\bin\b.*\bout\b", text, re.IGNORECASE | re.DOTALL), "what comes in, what goes out"
    read = re.search(r"Read\s+`(\w+\.py)`", text)
    assert read, "which file to read first"
    assert (room / read[1]).is_file(), read[1]


def test_additions_take_few_lines():
    """Each thing that can be added is told in at most five lines."""
    items = re.split(r"\n- \*\*", PAGE.split("## Where to add")[1])[1:]
    assert [item.split("**")[0].split(" ", 1)[1] for item in items] == [
        "grader", "backend", "gate", "method", "tool", "export format",
    ]  # fmt: skip
    assert all(len(item.strip().splitlines()) <= 5 for item in items)


def test_additions_work_as_told(tmp_path, monkeypatch):
    """A grader, a backend, a gate, a tool and a method of one's own learn together without a line in the package."""
    (tmp_path / "mine.py").write_text(MINE, encoding="utf-8")
    (tmp_path / "mine.toml").write_text('epochs = 1\n[advantage]\nkind = "dr_grpo"\n', encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = [{"question": f"{i} + {4 - i}", "answer": "4"} for i in range(4)]
    result = tfgrpo.learn_sync(
        rows, heldout=rows_of_five(), grader="mine:grade", model="scripted/mine:Backend", gate="mine:gate",
        config=tmp_path / "mine.toml", db=tmp_path / "x.db", environment__kind="tool_loop",
        environment__tools=["mine:make"],
    )  # fmt: skip
    sys.modules.pop("mine", None)
    assert result.summary["rollouts"] == 20
    assert result.summary["groups"]["kept"] == 4


def rows_of_five() -> list[dict[str, str]]:
    """Return held-out problems, which share nothing with the others."""
    return [{"question": f"What is five times {word}?", "answer": "5"} for word in ("one", "a single unit")]
