"""Worlds of the embedded model for the benchmarks: problems, held-out problems and the true lessons."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tfgrpo import datasets
from tfgrpo.types import Problem

WORLDS = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"


def make_world(
    folder: Path, seed: int, *, learning: int, heldout: int
) -> tuple[tuple[Problem, ...], tuple[Problem, ...], list[str]]:
    """Write the world of `seed`; return its learning problems, its held-out problems and its true lessons."""
    sized = ["--seed", seed, "--problems", learning, "--heldout", heldout]
    command = [sys.executable, WORLDS, *sized, "--truth", folder / "truth", "-o", folder]
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)
    truth = (folder / "truth").read_text(encoding="utf-8").splitlines()
    return datasets.load(folder / "problems.jsonl"), datasets.load(folder / "heldout.jsonl"), truth
