"""The simulation of error rates, run small."""

import importlib.util
import json
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gate_sim.py"


@pytest.fixture(scope="module")
def simulation():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gate_sim", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(__import__("sys").modules, "gate_sim", module)
        spec.loader.exec_module(module)
        yield module


@pytest.mark.slow
def test_simulation_tells_designs_apart(simulation, capsys):
    """The larger mean accepts a third or more of useless edits, the paired gate hardly any, and both see right ones."""
    simulation.main(["--runs", "30", "--seed", "3", "--json"])
    found = json.loads(capsys.readouterr().out)
    naive, paired = found["designs"]["mean 30"], found["designs"]["paired 128"]
    assert naive["false_accept"] > 0.3
    assert paired["false_accept"] < 0.15
    assert naive["accept_right"] == paired["accept_right"] == 1
    assert paired["accept_wrong"] == 0
    assert found["bundle"]["right"] > 0.95
    assert found["bundle"]["wrong"] < 0.4


def test_simulation_prints_a_row_per_design_and_world(simulation, capsys):
    """Without --json there is a table, the same for the same seed."""
    simulation.main(["--runs", "1"])
    first = capsys.readouterr().out
    simulation.main(["--runs", "1"])
    assert capsys.readouterr().out == first
    assert len(first.splitlines()) == 1 + len(simulation.WORLDS) * len(simulation.DESIGNS) + 2 + 4
