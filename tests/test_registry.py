"""Names become objects: dotted paths, built-in names, installed plugins, or a message that lists what there is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tfgrpo.errors import UnknownPlugin
from tfgrpo.graders import Exact
from tfgrpo.registry import BUILTIN, names, resolve


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, table in BUILTIN.items() for name in table])
def test_every_built_in_name_loads(kind, name):
    """The table holds no path that leads nowhere."""
    assert callable(resolve(kind, name))


def test_a_dotted_path_wins_without_a_table():
    """`package.module:attr` is imported as it stands."""
    assert resolve("graders", "tfgrpo.graders:Exact") is Exact
    assert resolve("graders", "exact") is Exact


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("exat", "no grader 'exat'; did you mean 'exact'? known: choice, exact"),
        ("zzz", "no grader 'zzz'; known: "),
        ("no_such_module:x", "grader 'no_such_module:x' cannot be imported: No module named 'no_such_module'"),
        ("json:nothing", "module 'json' has no 'nothing', wanted as grader"),
    ],
)
def test_unknown_names_are_refused_with_what_is_known(name, said):
    """The message reads as a sentence, without the quotes of a KeyError."""
    with pytest.raises(UnknownPlugin) as caught:
        resolve("graders", name)
    assert str(caught.value).startswith(said)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution with a grader as entry point, on the path."""
    (tmp_path / "a_plugin.py").write_text("def always(problem, rollout):\n    return 1.0\n")
    info = tmp_path / "a_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[tfgrpo.graders]\nalways = a_plugin:always\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "a_plugin", raising=False)


@pytest.mark.usefixtures("installed")
def test_installed_plugins_are_found_and_listed():
    """An entry point of the group `tfgrpo.graders` is a name like any other."""
    assert "always" in names("graders")
    assert resolve("graders", "always")(None, None) == 1.0


def test_names_are_sorted():
    """Lists read the same every time."""
    assert list(names("graders")) == sorted(names("graders"))
    assert names("nothing of that kind") == ()
