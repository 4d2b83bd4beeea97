"""How far one version may move: by edits, and by the KL of stored rollouts where the model can score them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path

import pytest

from tfgrpo import api, datasets
from tfgrpo.learning.trust_region import HELD


@pytest.fixture
def scenes(monkeypatch):
    """The scripted sets, with a model that can say how likely its attempts are."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("method_scenes")


def moved(scenes, db, *overrides):
    """Return for each step how many edits entered and how many waited, and the warnings of the run."""
    scene, (player, grader) = replace(scenes.LIKELY, each=2), scenes.player("likely")
    result = api.learn_sync(
        datasets.from_rows(scene.problems(1)), heldout=0, model=player, grader=grader, db=db, gate="open", epochs=2,
        group_size=5, overrides=["lessons.consolidate=join", *overrides],
    )  # fmt: skip
    held = [sum(v.reason.startswith(HELD) for v in s.verdicts) for s in result.steps]
    return [s.decided["moved"] for s in result.steps], held, result


def test_a_version_moves_no_further_than_its_kl(scenes, tmp_path):
    """Fewer edits enter at once than without the bound; the others wait and are not lost."""
    free, none_held, _ = moved(scenes, tmp_path / "a.db")
    bound, held, _ = moved(scenes, tmp_path / "b.db", "gate.max_kl=0.05")
    assert not any(none_held)
    assert 1 <= bound[0] < free[0]
    assert held[0] > 0
    assert sum(bound) > bound[0], "what waited comes again with the next version"


def test_where_a_model_cannot_score_the_bound_says_that_it_does_not_act(tmp_path):
    """Once, in the warnings; the run goes on."""
    from support.script import Model, learn, rows

    result = learn(Model(), rows(2), tmp_path / "x.db", overrides=["gate.max_kl=0.05"])
    assert any("gate.max_kl bounds no version, since scores cannot be had" in w for w in result.summary["warnings"])
    assert len(result.library) > 0
