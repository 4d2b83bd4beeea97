"""A pretrained model on this machine, as actor and as writer of lessons: `pytest -m real` after `models install`."""

import importlib
import os
from pathlib import Path

import pytest

from experience_db import Lesson, Library
from tfgrpo import api
from tfgrpo.backends.local import KNOWN, Local, find
from tfgrpo.backends.local.weights import installed, verify_weights
from tfgrpo.prompting import templates
from tfgrpo.types import Request, Sampling

pytestmark = [pytest.mark.real, pytest.mark.timeout(900)]
MODEL = "local/smollm2-135m"
EXAMPLE = Path(__file__).parents[2] / "examples" / "real_model"


@pytest.fixture
def house(monkeypatch):
    """The house tasks of the example, importable as their own commands import them."""
    monkeypatch.syspath_prepend(str(EXAMPLE))
    return importlib.import_module("house")


def test_the_weights_are_those_that_were_named():
    """What `models install` brought has the hash that the table of known models names."""
    for name in KNOWN:
        path = installed(name)
        assert path is not None, f"run `tfgrpo models install {name}`"
        verify_weights(name, path)


async def test_a_lesson_at_the_end_of_the_users_turn_is_followed(house):
    """The block of the set `small` makes the model follow a lesson about form that it never follows unasked."""
    backend = Local(MODEL, timeout=120)
    task = house.TASKS["yesno"]
    shares = {}
    for lessons in ((), (Lesson(1, task.right, 1, 1),)):
        library = Library("x", 1, lessons, templates.load("small").block())
        kept = []
        for number, question in enumerate(house.questions("yesno")[:12]):
            plain = [{"role": "system", "content": task.instructions}, {"role": "user", "content": question}]
            drawn = Sampling(temperature=0.3, max_tokens=4, seed=number)
            reply = await backend.complete(Request("rollout", MODEL, tuple(library.inject(plain)), drawn))
            kept.append(task.keeps(reply.text))
        shares[len(lessons)] = sum(kept) / len(kept)
    await backend.aclose()
    assert shares[0] < 0.25
    assert shares[1] > 0.5


def test_the_loop_learns_on_a_real_model(house, tmp_path):
    """A short run has the model write lessons in plain lines, puts some to the gate, and leaves no engine behind."""
    files = house.write("spanish", tmp_path, 0, (6, 24, 4))
    found = api.learn_sync(
        files["learn"],
        heldout=files["gate"],
        model=MODEL,
        grader=house.spanish,
        db=tmp_path / "real.db",
        config=EXAMPLE / "learn.toml",
        instructions=house.TASKS["spanish"].instructions,
        lessons__draws=4,
    )
    summary = found.summary
    assert summary["rollouts"] == 30
    assert summary["calls"]["contrast"]["new"] > 0
    assert summary["calls"]["gate"]["new"] > 0
    assert summary["edits"]["proposed"] > 0
    assert set(summary["failures"]) <= {"malformed"}
    assert found.library.place == "user_end"
    assert summary["usage"]["completion_tokens"] > 0
    assert find(MODEL).path.is_file()
    assert not [pid for pid in os.listdir("/proc") if pid.isdecimal() and _runs_our_child(int(pid))]


def _runs_our_child(pid: int) -> bool:
    """Whether a process is an engine that this one began and left."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    parent = next(line.split()[1] for line in status.splitlines() if line.startswith("PPid:"))
    return b"local/child.py" in command and int(parent) == os.getpid() and "zombie" not in status
