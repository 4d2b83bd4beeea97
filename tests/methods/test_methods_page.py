"""The page on methods names every pure function, every preset and every option, and tests that exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from tfgrpo import advantages, config, edit_scores, selection
from tfgrpo.gates.edit_score import SHARED
from tfgrpo.gates.score_kinds import KINDS

TESTS = Path(__file__).resolve().parents[1]
PAGE = (TESTS.parent / "docs" / "methods.md").read_text(encoding="utf-8")
CODE = set(re.findall(r"[a-z_0-9]+", " ".join(re.findall(r"`([^`]+)`", PAGE))))
PARTS = {
    *(
        "adaptive_sizes",
        "aggregate",
        "centred",
        "cluster_document_frequency",
        "clip_fraction",
        "coverage",
        "critic_value",
    ),
    *(
        "disco_batch",
        "disco_scores",
        "has_contrast",
        "identity_value",
        "keep_top",
        "kl_tokens",
        "mean_advantage",
        "mean_log_ratios",
    ),
    *("outside", "planning_mask", "planning_ratio", "planning_sentences", "planning_tokens_spread", "sequence_ratios"),
    *("spells", "sum_log_ratios"),
}
"""Functions that others are made of."""


def test_every_function_of_the_family_is_on_the_page():
    """What a pure package exports is in the table, or is a part of something that is."""
    for package in (advantages, selection, edit_scores):
        functions = {n for n in package.__all__ if inspect.isfunction(getattr(package, n))}
        assert functions - PARTS <= CODE, sorted(functions - PARTS - CODE)


def test_every_option_of_an_edit_score_is_on_the_page():
    """The options that a configuration may name are explained."""
    for kind, function in KINDS.items():
        own = {n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY}
        assert own | set(SHARED.get(kind, {})) <= CODE, kind


def test_every_preset_and_no_missing_test_is_on_the_page():
    """Presets of the package are named, and tests that the table names exist."""
    assert {name for name in config.preset_names() if f"`{name}`" not in PAGE} == set()
    written = "\n".join(p.read_text(encoding="utf-8") for p in TESTS.rglob("test_*.py"))
    for name in re.findall(r"`(test_\w+?)`", PAGE):
        assert f"def {name}(" in written, name
    for name in re.findall(r"`((?:\w+/)*test_\w+\.py)`", PAGE):
        assert (TESTS / name.removeprefix("tests/")).is_file(), name
