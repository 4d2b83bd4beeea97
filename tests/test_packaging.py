"""What an installed tfgrpo consists of; `.ci/wheel` builds it and runs it, which these tests do not."""

import re
import tomllib
from fnmatch import fnmatch
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

from tfgrpo.version import __version__

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = PROJECT["tool"]["hatch"]["build"]
IGNORED = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line and line[0] != "#"]
DATA = (
    "experience_db/py.typed",
    "prompts/*/solve/*.jinja",
    "prompts/*/set.toml",
    "tfgrpo/backends/tiny/weights/config.json",
    "tfgrpo/backends/tiny/weights/model.safetensors",
    "tfgrpo/backends/tiny/weights/tokenizer.json",
    "tfgrpo/config/presets/*.toml",
    "tfgrpo/py.typed",
    "tfgrpo/report/templates/*.jinja",
    "tfgrpo/report/templates/script.js",
    "tfgrpo/report/templates/style.css",
    "tfgrpo/ui/templates/*.jinja",
    "tfgrpo/ui/templates/ui.css",
    "tfgrpo/ui/templates/ui.js",
)
"""What the program reads at run time beside its modules."""


def test_the_version_is_one():
    """The installed version is the one in the code."""
    assert version("tfgrpo") == __version__, "reinstall: pip install -e ."


def test_the_changelog_is_up_to_date():
    """Its newest section is the unreleased one or this version."""
    newest = re.search(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest.group(1) in {"Unreleased", __version__}


def test_the_wheel_holds_both_packages_and_the_prompts():
    """Exactly these three folders are shipped; the prompts move to where the loader looks for them first."""
    assert BUILD["only-include"] == ["tfgrpo", "experience_db", "prompts"]
    assert BUILD["targets"]["wheel"]["sources"] == {"prompts": "tfgrpo/_prompts"}
    assert set(BUILD["only-include"]) < set(BUILD["targets"]["sdist"]["only-include"])
    assert "force-include" not in BUILD["targets"]["wheel"]
    assert not (ROOT / "tfgrpo" / "_prompts").exists()


def test_prompts_hold_no_module():
    """A Python file among the prompts would break editable installs."""
    assert not list((ROOT / "prompts").rglob("*.py"))


@pytest.mark.parametrize("pattern", DATA)
def test_data_is_shipped(pattern):
    """Files that are read at run time exist, and neither .gitignore nor the build's own list keeps them out."""
    found = list(ROOT.glob(pattern))
    assert found
    for path in found:
        parts = path.relative_to(ROOT).parts
        assert not [p for p in (*IGNORED, *BUILD["exclude"]) for part in parts if fnmatch(part, p)], path


@pytest.mark.parametrize("folder", ["tfgrpo", "experience_db"])
def test_no_package_is_ignored(folder):
    """No line of .gitignore takes a module out of the wheel."""
    for path in (ROOT / folder).rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        assert not [p for p in IGNORED for part in parts if fnmatch(part, p)], path


def test_the_command_is_installed():
    """`tfgrpo` on the command line is the function of the package."""
    (command,) = (each for each in entry_points(group="console_scripts") if each.name == "tfgrpo")
    assert command.value == "tfgrpo.cli:main"
    assert callable(command.load())
