"""Habits that keep the code readable, checked by machine."""

import ast
import dataclasses
import inspect
import re
from pathlib import Path

import pytest

import experience_db.records
import tfgrpo.errors
import tfgrpo.types

ROOT = Path(__file__).parents[1]
SOURCES = sorted([*(ROOT / "tfgrpo").rglob("*.py"), *(ROOT / "experience_db").rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PAGES = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md"),
     *(ROOT / "prompts").rglob("*.jinja")]
)  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_short(path):
    """No file is longer than 400 lines and no function longer than 60."""
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name


@pytest.mark.parametrize("module", [tfgrpo.types, experience_db.records], ids=lambda m: m.__name__)
def test_data_is_frozen(module):
    """Every dataclass of the vocabulary is frozen and slotted."""
    for _, kind in inspect.getmembers(module, dataclasses.is_dataclass):
        assert kind.__dataclass_params__.frozen, kind
        assert hasattr(kind, "__slots__"), kind


def test_errors_form_one_documented_tree():
    """Each error says when it occurs, and is also the stdlib error that a caller would expect."""
    for _, kind in inspect.getmembers(tfgrpo.errors, inspect.isclass):
        if issubclass(kind, BaseException) and kind is not tfgrpo.errors.TfgrpoError:
            assert issubclass(kind, tfgrpo.errors.TfgrpoError), kind
            assert issubclass(kind, ValueError | RuntimeError), kind
            assert kind.__doc__, kind


def test_nothing_is_patched():
    """Tests use a scripted backend or a real server, never a patched object."""
    wrong = re.compile(r"unittest\.mo" r"ck|Magic" r"Mock|monkeypatch\.seta" r"ttr|\bpat" r"ch\(")
    assert not [p for p in TESTS if wrong.search(p.read_text(encoding="utf-8"))]


def test_one_word_per_concept():
    """Synonyms that the glossary replaced do not creep back into code, prompts and docs."""
    banned = re.compile(r"\b(trajector(y|ies)|episodes?|insights?)\b", re.IGNORECASE)
    assert not [p for p in (*SOURCES, *PAGES) if banned.search(p.read_text(encoding="utf-8"))]


def test_concurrency_lives_in_one_place():
    """Tasks and semaphores are made in executors, backends, serve and grader workers only."""
    wrong = re.compile(r"\b(create_task|asyncio\.gather|Semaphore)\(")
    allowed = ("executors", "backends", "serve", "graders")
    for path in (ROOT / "tfgrpo").rglob("*.py"):
        if path.relative_to(ROOT / "tfgrpo").parts[0] not in allowed:
            assert not wrong.search(path.read_text(encoding="utf-8")), path
