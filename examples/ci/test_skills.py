"""A skill that must help, as a test: `pytest examples/ci`. It needs no key: the model is the embedded one."""

import pytest

SETTINGS = {"on": "tasks.jsonl", "grader": "exact", "model": "tiny", "way": "lessons"}


@pytest.mark.tfgrpo(text="skills/operators/SKILL.md", min_effect=0.1, **SETTINGS)
def test_the_skill_helps(proof):
    """The skill helps by a tenth at least, and loses no more problems than it wins."""
    assert len(proof.deciding.lost) <= len(proof.deciding.won)
