"""The places at which the slow tests kill runs are functions that exist, so that no such test waits in vain."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = re.compile(r'"([a-z_/]+\.py):([a-z_]+)"')


def defined(file: str, function: str) -> bool:
    """Return whether a function of that name is defined in a file of the packages whose path ends so."""
    paths = [p for top in ("tfgrpo", "experience_db") for p in (ROOT / top).rglob("*.py") if str(p).endswith(file)]
    nodes = [node for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    return any(getattr(node, "name", None) == function for node in nodes)


def test_every_place_of_a_kill_exists():
    """Each FILE:FUNCTION that the tests name is there."""
    places = {place for path in (ROOT / "tests").rglob("*.py") for place in PLACE.findall(path.read_text("utf-8"))}
    assert len(places) > 20
    assert not [place for place in places if not defined(*place)]
