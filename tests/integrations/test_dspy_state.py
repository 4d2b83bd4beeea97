"""An exported predictor in the real DSPy."""

import pytest

from experience_db import Lesson, Library
from experience_db.formats import DSPY, dspy

pytestmark = [pytest.mark.integrations, pytest.mark.filterwarnings("ignore")]


def test_a_predictor_loads_the_lessons(tmp_path):
    """`load` takes the file, the instructions hold the block, and the fields stay; without lessons nothing changes."""
    real = pytest.importorskip("dspy")
    for lessons in ((Lesson(3, "Name the unit of {{x}}.", 1, 1),), ()):
        library = Library("web", 1, lessons)
        (tmp_path / "p.json").write_text(dspy(library), encoding="utf-8")
        predictor = real.Predict("question -> answer")
        predictor.load(str(tmp_path / "p.json"))
        assert predictor.signature.instructions == (f"{DSPY}\n\n{library.block()}" if lessons else DSPY)
        assert list(predictor.signature.fields) == ["question", "answer"]
        assert real.Predict("question -> answer").signature.instructions == DSPY
