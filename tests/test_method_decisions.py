"""No preset is decorative: on the set made for it each decides otherwise than `default`, and by its own settings."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from search.world import model, search
from support.script import edits, rows, solve

import tfgrpo
from experience_db import Store
from tfgrpo import config

WORLDS = Path(__file__).parents[1] / "examples" / "tiny_model" / "worlds.py"

BY_EDIT_SCORES = {
    "gspo": "edit_score.order=off",
    "gvpo": "edit_score.order=off",
    "disco": "selection.contrast=all",
    "disco-b": "edit_score.order=off",
}
"""These decide by the likelihood of edits, so on the embedded model; without that setting each does otherwise."""
BY_CALLS = {
    "training-free-grpo": "lessons.stages=contrast",
    "gepa": "search.mutation=groups",
    "gepa-merge": "search.merges=0",
    "mipro": "search.trials=1",
}
"""The published stages and the searches decide what is asked at all: another setting asks other questions."""
DECIDED_BY = {
    "grpo": "selection.contrast=all",
    "dr-grpo": "selection.groups=1000",
    "dapo": "selection.wanted=1",
    "gdpo": "selection.contrast=all",
    "gfpo": "selection.contrast=all",
    "gfpo-efficiency": "selection.contrast=all",
    "gfpo-adaptive": "selection.contrast=all",
    "ppo": "advantage.prior=fixed",
    "hicra": "lessons.slips=teach",
}
"""A setting of each preset without which it decides otherwise."""


@pytest.fixture
def methods(monkeypatch):
    """The benchmark of the methods, imported as its own command would."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    return importlib.import_module("methods")


def test_every_preset_has_a_set_or_a_reason():
    """A new preset is given a set on which it shows, or is named above."""
    assert set(config.preset_names()) == set(DECIDED_BY) | set(BY_EDIT_SCORES) | set(BY_CALLS) | {"default"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DECIDED_BY))
async def test_a_preset_decides_otherwise_than_default_and_by_its_own_setting(name, methods, tmp_path):
    """Groups, contrasts or what is laid side by side differ; without the setting that decides they differ again."""
    own = await methods.decision(name, tmp_path)
    (tmp_path / "default").mkdir()
    assert own != await methods.default_on(name, tmp_path / "default")
    (tmp_path / "without").mkdir()
    assert own != await methods.decision(name, tmp_path / "without", [DECIDED_BY[name]])
    assert own == await methods.decision(name, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(BY_CALLS))
def test_stages_and_searches_ask_other_questions_than_default_and_by_their_own_setting(name, tmp_path):
    """How often each role is asked, on one scripted set."""
    if name == "mipro":
        pytest.importorskip("optuna", reason="needs the extra: pip install 'tfgrpo[search]'")
    own = questions(name, tmp_path / "own.db")
    assert own != questions("default", tmp_path / "default.db")
    assert own != questions(name, tmp_path / "without.db", BY_CALLS[name])


def none(_: object) -> str:
    """Propose nothing."""
    return edits()


def questions(method: str, db: Path, *settings: str) -> dict[str, int]:
    """Return how often each role was asked, and how often a merge was tried."""
    playing = model(operations=none, consolidate=none, summarize=lambda _: "It halved.")
    if method == "mipro" or "grpo" in method or method == "default":
        playing.roles["rollout"] = solve
    result = search(
        playing, db, method, problems=rows(24), heldout=rows(12, 500), epochs=4 if method == "gepa-merge" else 1,
        search__pool="separate", search__batch=4, search__validation="full", overrides=settings,
    )  # fmt: skip
    return {**playing.calls, "merge": sum("merge" in s.monitor for s in result.steps)}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_presets_of_edit_scores_decide_otherwise_than_default_and_by_their_own_setting(tmp_path):
    """In one world of the embedded model, one epoch: what was contrasted, scored, put off and tested, in order."""
    default = edit_decisions("default", tmp_path / "default.db")
    for name, without in BY_EDIT_SCORES.items():
        own = edit_decisions(name, tmp_path / f"{name}.db")
        assert own != default, name
        assert own != edit_decisions(name, tmp_path / f"{name}-without.db", without), name


def edit_decisions(method: str, db: Path, *settings: str) -> list[tuple[object, ...]]:
    """Return what each step contrasted, and its verdicts in order without their figures."""
    folder = db.parent / "world"
    if not folder.exists():
        told = ["--seed", "31", "--problems", "12", "--heldout", "24", "--operators", "2", "-o", str(folder)]
        subprocess.run([sys.executable, str(WORLDS), *told], check=True, stdout=subprocess.DEVNULL)
    result = tfgrpo.learn_sync(
        folder / "problems.jsonl", heldout=folder / "heldout.jsonl", grader="exact", model="tiny", method=method,
        db=db, epochs=1, overrides=["gate.options.nmax=16", "gate.options.elsewhere=0", *settings],
    )  # fmt: skip
    with Store.open(db, readonly=True) as store:
        spent = [store.usage(run.id) for run in store.runs()]
        asked = [(role, u[role].prompt_tokens if role == "contrast" else 0) for u in spent for role in sorted(u)]
    said = [(v.edits[0].text, v.decision) for s in result.steps for v in s.verdicts if v.edits]
    return [tuple(asked), *said]


@pytest.mark.parametrize("name", config.preset_names())
def test_a_preset_names_its_decision(name):
    """The second line of its file says what it decides."""
    assert config.preset_path(name).read_text(encoding="utf-8").splitlines()[1].startswith("# Decides: ")


@pytest.mark.slow
def test_the_benchmark_prints_differences_paired_by_seed(methods):
    """The contrasts of DAPO per rollout on two seeds, against default, with interval and n."""
    lines = []
    methods.main(["dapo", "--seeds", "2", "--json"], lines.append)
    first = methods.json.loads(lines[-1])["rows"][0]
    assert (first["figure"], first["against"], first["n"]) == ("contrasts_per_100_rollouts", "default", 2)
    assert first["own"] > first["other"]
    assert "n=2" in lines[0]
