"""Every notebook of the examples runs from top to bottom in an empty folder, and what it shows is shown richly."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

NOTEBOOKS = Path(__file__).parents[2] / "examples" / "notebooks"
SHOWS = {"first_run": "Library(", "own_csv": "LearnResult(", "own_agent": "EvalResult(", "reading_evidence": "Plot(",
         "two_prompts": "EvalResult("}  # fmt: skip


@pytest.mark.notebook
@pytest.mark.parametrize("name", SHOWS)
def test_a_notebook_runs_and_shows_tables(name: str, tmp_path: Path):
    """Without an error, with the short text and the table of its results, and without a key or a network."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    shutil.copy(NOTEBOOKS / "support_desk.py", tmp_path)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=100, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={k: v for k, v in os.environ.items() if not k.startswith(("OPENAI_", "TFGRPO_"))})
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    data = [output.data for output in outputs if output.output_type == "execute_result"]
    assert any(SHOWS[name] in str(one.get("text/plain")) for one in data)
    assert name == "two_prompts" or any("text/html" in one for one in data)


def test_the_notebooks_are_those_that_are_run():
    """None is left out, and none is kept with old outputs in it."""
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(SHOWS)
    assert not [
        path for path in NOTEBOOKS.glob("*.ipynb") if '"execution_count": 1' in path.read_text(encoding="utf-8")
    ]
