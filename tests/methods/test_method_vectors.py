"""The program that runs method vectors: on our own file, on a shared one where there is one, and on broken ones."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
OWN = TESTS / "vectors.json"


def run(path: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the program on a file, from some folder."""
    program = [sys.executable, str(TESTS / "method_vectors.py"), str(path)]
    return subprocess.run(program, cwd=folder, capture_output=True, text=True, check=False)


def shared_vectors() -> Path:
    """The larger file beside the data folder, where this machine has one."""
    data = Path(os.environ.get("TFGRPO_DATA", TESTS.parents[1] / "shared" / "data"))
    return data.parent / "vectors" / "method_vectors.json"


def variant(folder: Path, **changes: object) -> Path:
    """A file with our first case, changed, and our second as it is."""
    first, second, *_ = json.loads(OWN.read_text(encoding="utf-8"))["cases"]
    path = folder / "variant.json"
    path.write_text(json.dumps({"cases": [{**first, **changes}, second]}), encoding="utf-8")
    return path


def test_own_vectors_pass_from_any_folder(tmp_path):
    """Numbers worked out by hand agree with the library, and the last line counts them."""
    done = run(OWN, tmp_path)
    cases = len(json.loads(OWN.read_text(encoding="utf-8"))["cases"])
    assert done.stdout.splitlines()[-1] == f"{cases} passed, 0 failed"
    assert done.returncode == 0


def test_shared_vectors_pass(tmp_path):
    """The file compared with public code agrees with the library."""
    path = shared_vectors()
    if not path.exists():
        pytest.skip(f"no shared method vectors at {path}; set TFGRPO_DATA to the data folder beside them")
    done = run(path, tmp_path)
    assert done.stdout.splitlines()[-1].endswith(" passed, 0 failed"), done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"expected": {"advantages": [0.7071, -0.7071]}}, "expected [0.7071, -0.7071]"),
        ({"expected": {"advantages": [0.7071067811865476]}}, "expected [0.7071067811865476]"),
        ({"expected": {"degenerate": True}}, "degenerate is False"),
        ({"expected": {"degenerate": 0}}, "degenerate is False"),
        ({"expected": {"advantages": [None, None]}}, "expected [None, None]"),
        ({"expected": {"unheard": 1}}, "no 'unheard'"),
        ({"expected": {}}, "expects nothing"),
        ({"quantity": "unheard"}, "unknown (method, quantity)"),
        ({"method": "unheard"}, "unknown (method, quantity)"),
        ({"inputs": {}}, "KeyError"),
        ({"params": {"ddof": 2}}, "UsageError: ddof is 2"),
    ],
)
def test_wrong_case_fails_alone(tmp_path, changes, fault):
    """A case that does not hold, or asks for what nobody knows, is named and counted; the others still run."""
    done = run(variant(tmp_path, **changes), tmp_path)
    assert fault in done.stdout
    assert done.stdout.splitlines()[-1] == "1 passed, 1 failed"
    assert done.returncode == 1


@pytest.mark.parametrize("text", ["", "[]", "{}"])
def test_file_without_cases_is_refused(tmp_path, text):
    """Something that is no vector file is an error of usage, not zero failures."""
    path = tmp_path / "broken.json"
    path.write_text(text, encoding="utf-8")
    done = run(path, tmp_path)
    assert done.returncode == 2
    assert "broken.json" in done.stderr
    assert done.stdout == ""
