"""A pytest plugin: a text that must help is a test.

    @pytest.mark.tfgrpo(text="skills/tables/SKILL.md", on="tasks.jsonl", grader="exact", model="tiny", min_effect=0.05)
    def test_skill(proof):
        assert proof.verdict == "helps"

The mark alone fails the test when the verdict is not `helps`, or when the lower end of the effect's interval is below
`min_effect`; the fixture `proof` is there for more. Any option of `tfgrpo.proving.live.prove` may stand in the mark:
`against`, `way`, `pairs`, `budget_calls`, `db`, ... Model calls go through the database's journal: an unchanged skill
costs nothing. `undecided="skip"` skips where the pairs do not suffice. Names of files are relative to the test's
folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tfgrpo.proving import Proof
    from tfgrpo.proving.proof import Finding

OWN = ("min_effect", "undecided")
_PROOF = pytest.StashKey["Proof"]()
ASKED = ("on", "against", "way", "detect", "pairs", "alpha", "floor", "together", "controls", "seal", "fields")
"""Options of the mark that are about the question; all others say which model, grader and database."""


def pytest_configure(config: pytest.Config) -> None:
    """Declare the mark."""
    config.addinivalue_line("markers", "tfgrpo(text, on, grader, model, min_effect=0, ...): the text must help")


@pytest.fixture
def proof(request: pytest.FixtureRequest) -> Proof:
    """Return what `tfgrpo prove` found for the test's mark."""
    mark = request.node.get_closest_marker("tfgrpo")
    if mark is None:
        pytest.fail("the fixture `proof` needs @pytest.mark.tfgrpo(text=..., on=..., grader=..., model=...)")
    return proved(request.node, mark.kwargs)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Fail a marked test whose text does not help, before its own body runs."""
    mark = item.get_closest_marker("tfgrpo")
    if mark is None:
        return
    found, wanted = proved(item, mark.kwargs), float(mark.kwargs.get("min_effect", 0.0))
    deciding = found.deciding
    if found.verdict.value == "cannot-tell" and mark.kwargs.get("undecided") == "skip":
        pytest.skip(f"cannot tell yet: {deciding.reason}")
    if found.verdict.value != "helps":
        pytest.fail(f"{deciding.name}: {found.verdict.words}: {deciding.reason}", pytrace=False)
    if wanted and (deciding.ci[0] is None or deciding.ci[0] < wanted):
        _too_little(deciding, wanted, skips=mark.kwargs.get("undecided") == "skip")


def _too_little(deciding: Finding, wanted: float, *, skips: bool) -> None:
    """Fail where so much is not shown; skip where that is wanted and more pairs could still show it."""
    low, high = deciding.ci
    if deciding.effect is None or low is None or high is None:
        pytest.fail(f"{deciding.name} helps, but by how much is not known", pytrace=False)
    said = f"{deciding.name} helps by {deciding.effect:+.3f} [{low:+.3f}, {high:+.3f}]"
    if skips and high >= wanted:
        pytest.skip(f"{said}; whether by {wanted:+.3f} cannot be told yet")
    pytest.fail(f"{said}; {wanted:+.3f} is not shown, give more tasks or a smaller min_effect", pytrace=False)


def proved(item: pytest.Item, given: Mapping[str, Any]) -> Proof:
    """Return the proof of a test, made once."""
    if _PROOF not in item.stash:
        item.stash[_PROOF] = _prove(item, given)
    return item.stash[_PROOF]


def _prove(item: pytest.Item, given: Mapping[str, Any]) -> Proof:
    from tfgrpo.proving import live  # noqa: PLC0415  only where a test asks

    folder, texts = item.path.parent, given.get("text")
    named = (texts,) if isinstance(texts, str) else tuple(texts or ())
    asked = {k: v for k, v in given.items() if k in ASKED}
    options = {k: v for k, v in given.items() if k not in (*ASKED, *OWN, "text")}
    places = tuple(_beside(folder, text) for text in named)
    asked["on"] = _beside(folder, asked["on"]) if isinstance(asked.get("on"), str) else asked.get("on")
    if "against" in asked:
        asked["against"] = _beside(folder, asked["against"])
    options["db"] = _beside(folder, str(options.get("db", "experience.db")), new=True)
    return live.prove_sync(live.Asked(texts=places, **asked), **options)


def _beside(folder: Path, name: str, *, new: bool = False) -> str:
    """Return a name as a path beside the test, where there is such a file; as it is otherwise."""
    place = folder / name
    return str(place) if new or place.exists() else name
