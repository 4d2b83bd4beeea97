"""Imports point strictly down one list; nothing reaches up or sideways out of turn."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = (
    {"__main__"},
    {"cli"},
    {"integrations"},
    {"studies", "proving"},
    {"api"},
    {"build"},
    {"search"},
    {"evaluation"},
    {"learning"},
    {"ui", "mcp_server", "sessions"},
    {"report"},
    {"gates"},
    {"lessons"},
    {"rollout"},
    {"methods"},
    {"edit_scores"},
    {"selection"},
    {"advantages"},
    {"environments"},
    {"graders"},
    {"tools", "serve", "corpus", "proxy", "sharing", "tracking"},
    {"retrieval"},
    {"backends"},
    {"executors"},
    {"boundary", "replies"},
    {"config", "prompting", "datasets", "readers"},
    {"system", "registry", "stats"},
    {"errors"},
    {"types", "version"},
)
"""From the top down. A module may import from lower layers and from its own folder, and from nothing else."""

SIDEWAYS: frozenset[tuple[str, str]] = frozenset()
"""Pairs against the list that are known and fine; at most five."""


def level(name: str) -> int:
    """Return the layer of a module's first name below tfgrpo."""
    return next(i for i, names in enumerate(LAYERS) if name in names)


def imports(path: Path) -> set[str]:
    """Return the first names below tfgrpo that a file imports, TYPE_CHECKING blocks included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == "tfgrpo":
                found |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("tfgrpo.")}
    return found


FILES = sorted(p for p in (ROOT / "tfgrpo").rglob("*.py") if p.name != "__init__.py" or p.parent.name != "tfgrpo")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path):
    """A module imports only from layers below its own."""
    own = path.relative_to(ROOT / "tfgrpo").parts[0].removesuffix(".py")
    for name in imports(path) - {own}:
        assert level(name) > level(own) or (own, name) in SIDEWAYS, f"{own} imports {name}"


def test_few_exceptions():
    """The list of exceptions stays shorter than six pairs."""
    assert len(SIDEWAYS) <= 5


def test_the_store_imports_nothing_from_tfgrpo():
    """experience_db stands on its own: an app can read lessons without the learner."""
    for path in (ROOT / "experience_db").rglob("*.py"):
        assert "tfgrpo" not in path.read_text(encoding="utf-8").replace("`tfgrpo", "") or not imports(path)


def test_prompts_hold_no_python():
    """A Python file in prompts/ would break editable installs."""
    assert not list((ROOT / "prompts").rglob("*.py"))


def test_only_config_reads_the_environment():
    """Environment variables are read in one module, so that nothing depends on hidden state."""
    allowed = {"tfgrpo/config/variables.py"}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if "environ" in text.replace("environment", "").replace("Environment", ""):
            where = str(path.relative_to(ROOT))
            assert where in allowed or ("environ[" in text and "COST_MAP" in text), where
