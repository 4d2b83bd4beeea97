"""Which open tests of earlier runs a new run carries on."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import pytest

from experience_db import Evidence, Store
from tfgrpo.learning.gate_step import recall_open_tests


@dataclass
class Listening:
    """A gate that notes what it is told."""

    heard: list[Evidence] = field(default_factory=list)

    def recall(self, evidence):
        """Note it."""
        self.heard += evidence


@pytest.mark.parametrize(
    ("changed", "heard"),
    [({}, 1), ({"batch_size": 9}, 1), ({"model": "b"}, 0), ({"grader": "numeric"}, 0), ({"evaluation": {"k": 2}}, 0)],
)
def test_open_tests_are_carried_on_only_where_the_same_is_measured(tmp_path, changed, heard):
    """Differences of another model, grader or sampling say nothing about the question of this run."""
    own = {"model": "a", "grader": "exact", "evaluation": {"k": 1}, "batch_size": 5}
    with Store.open(tmp_path / "x.db") as store:
        library = store.create_library("lib", "t")
        told = {"kind": "learn", "library": "lib", "base_version": library.version, "dataset": "d"}
        store.start_run("old", name="old", fingerprint="1", config=own | changed, **told)
        store.add_evidence("lib", [Evidence("gate", 0.1, n=8, verdict="undecided", reason="r", detail={})], run="old")
        store.start_run("new", name="new", fingerprint="2", config=own, **told)
        gate = Listening()
        recall_open_tests(SimpleNamespace(gate=gate, store=store, id="new"), library)
    assert len(gate.heard) == heard
