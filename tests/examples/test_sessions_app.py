"""The app of examples/sessions gets better while it runs, and draws it."""

import sys
from pathlib import Path

import pytest

from experience_db import Store

HERE = Path(__file__).parents[2] / "examples" / "sessions"


@pytest.mark.slow
def test_the_desk_gets_better(tmp_path, monkeypatch):
    """It ends with a right lesson and without the wrong one, and the plot has both lines."""
    monkeypatch.syspath_prepend(str(HERE))
    import app
    import plot

    seen = app.afternoon(tmp_path / "desk.db", sessions=700)
    with Store.open(tmp_path / "desk.db", readonly=True) as store:
        texts = {lesson.text for lesson in store.library("desk")}
    assert texts
    assert "Say it is not possible." not in texts
    plot.plot(seen, tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8").count("<polyline") == 2
    for name in ("app", "plot"):
        sys.modules.pop(name)
