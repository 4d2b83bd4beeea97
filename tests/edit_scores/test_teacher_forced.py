"""Whole runs with edit scores: on the embedded model, on the same model over HTTP, and on models that cannot score."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.script import Model, play, rows

import tfgrpo
from experience_db import Evidence, Store
from tfgrpo import datasets
from tfgrpo.errors import UsageError

WORLDS = Path(__file__).parents[2] / "examples" / "tiny_model" / "worlds.py"
SMALL: dict[str, Any] = {
    **{"grader": "exact", "epochs": 1, "seed": 1, "group_size": 4, "limit": 14},
    "overrides": ["rollout.max_tokens=40", "evaluation.max_tokens=40", "lessons.max_tokens=60"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Learning and held-out problems of a small world."""
    folder = tmp_path_factory.mktemp("world")
    sizes = ("--seed", "31", "--problems", "40", "--heldout", "8", "--operators", "3")
    subprocess.run([sys.executable, WORLDS, *sizes, "-o", folder], check=True, stdout=subprocess.DEVNULL)
    return datasets.load(str(folder / "problems.jsonl")), datasets.load(str(folder / "heldout.jsonl"))


def edit_scores(db: Path) -> list[Evidence]:
    """The edit scores of a database, in order."""
    with Store.open(db, readonly=True) as store:
        return [e for e in store.evidence("default") if e.kind == "edit-score"]


@pytest.mark.slow
def test_a_run_gated_by_likelihood_spends_no_gate_rollout_and_scores_the_same_over_http(world, tiny_url, tmp_path):
    """Embedded and served, the edits, their scores and the verdicts are those of one model."""
    learning, held = world
    found = {}
    for name, model in (("own", {"model": "tiny"}), ("http", {"model": "openai/tiny", "base_url": tiny_url})):
        db = tmp_path / f"{name}.db"
        asked = {**SMALL, **model, "limit": 24, "batch_size": 12, "epochs": 2, "group_size": 6}
        asked |= {"gate": "likelihood", "gate__options": {"rollouts": 2}}
        result = tfgrpo.learn_sync(learning, heldout=held, db=db, **asked)
        # All that is rolled out is the look for harm at the end of each epoch, on all problems of a set this small.
        assert result.summary["calls"].get("gate", {"new": 0})["new"] <= 4 * (asked["limit"] + len(held))
        assert result.summary["calls"]["score"]["new"] > 0
        found[name] = edit_scores(db)
    assert found["own"]
    assert [e.verdict for e in found["own"]] == [e.verdict for e in found["http"]]
    for own, http in zip(found["own"], found["http"], strict=True):
        assert own.detail["edit_score"] == pytest.approx(http.detail["edit_score"], abs=1e-4)
        assert own.detail["edit"] == http.detail["edit"]
    scored = [e for e in found["own"] if e.detail["edit_score"] is not None]
    assert scored
    assert all(e.estimate is None and "noise floor" in e.reason for e in scored)


@pytest.mark.slow
def test_the_prefilter_scores_first_and_a_repeated_run_pays_nothing(world, tmp_path):
    """A preset of the likelihood side has an edit score beside each verdict of rollouts, and is replayed whole."""
    learning, held = world
    asked = {"heldout": held, "db": tmp_path / "x.db", "model": "tiny", "method": "gspo", **SMALL}
    first = tfgrpo.learn_sync(learning, **asked)
    scores = edit_scores(tmp_path / "x.db")
    assert scores
    assert {e.detail["score"] for e in scores} == {"gspo"}
    again = tfgrpo.learn_sync(learning, **asked)
    assert sum(role["new"] for role in again.summary["calls"].values()) == 0
    assert [x.text for x in again.library] == [x.text for x in first.library]
    assert edit_scores(tmp_path / "x.db") == scores


def touches(db: Path) -> list[tuple[Any, str]]:
    """How each edit that rollouts decided on found its problems, in the order of the verdicts."""
    with Store.open(db, readonly=True) as store:
        found = [e for e in store.evidence("default") if e.kind in ("gate", "leave-one-out")]
    return [(e.detail["edit"], e.detail["touch"]) for e in found]


@pytest.mark.slow
def test_the_paired_gate_looks_where_likelihood_moves_when_no_word_names_the_problems(world, tiny_url, tmp_path):
    """The embedded model is scored without being told to, an endpoint when it is told to, and only words never."""
    learning, held = world
    ways: dict[str, dict[str, Any]] = {
        "own": {"model": "tiny"},
        "http": {"model": "openai/tiny", "base_url": tiny_url, "gate__options": {"touch": "likelihood"}},
        "words": {"model": "tiny", "gate__options": {"touch": "word"}},
    }
    found, calls = {}, {}
    for name, way in ways.items():
        # Every operator is common among so few problems, so that no word names any.
        asked = {**SMALL, "limit": 8, "heldout": held[:8], "db": tmp_path / f"{name}.db", **way}
        calls[name] = tfgrpo.learn_sync(learning, **asked).summary["calls"]
        found[name] = touches(tmp_path / f"{name}.db")
    assert found["own"] == found["http"]
    assert "likelihood" in {how for _, how in found["own"]}
    assert "likelihood" not in {how for _, how in found["words"]}
    assert "score" not in calls["words"]


@pytest.mark.parametrize("method", ["gspo", "gvpo", "disco", "disco-b"])
def test_a_model_that_cannot_score_ends_a_likelihood_method_before_it_began(method, tmp_path):
    """Nothing is asked and nothing is stored; the message says what to do instead."""
    model, db = Model(), tmp_path / "x.db"
    with pytest.raises(UsageError, match="cannot score given tokens"):
        tfgrpo.learn_sync(rows(6), heldout=0.5, db=db, model=play(model, method), grader="exact", method=method)
    assert model.requests == []
    with Store.open(db) as store:
        assert store.runs() == ()


def test_an_endpoint_without_prompt_logprobs_ends_the_run_at_its_start(server, tmp_path):
    """A server that chats but neither tokenizes nor scores is found out before the first rollout."""
    asked = {"model": "openai/test-model", "base_url": server.url, "grader": "exact", "db": tmp_path / "x.db"}
    with pytest.raises(UsageError, match="log-probs of given tokens"):
        tfgrpo.learn_sync(rows(6), heldout=0.5, gate="likelihood", **asked)
    assert server.chats == 0


async def agent(problem: tfgrpo.Problem, lessons: str) -> str:
    """Anybody's agent."""
    return "Answer: 1"


def test_an_agent_cannot_be_scored_because_its_prompt_is_its_own(tmp_path):
    """A wrapped agent with a likelihood gate is refused."""
    with pytest.raises(UsageError, match="an agent makes its own"):
        tfgrpo.learn_sync(
            rows(6),
            heldout=0.5,
            db=tmp_path / "x.db",
            model="tiny",
            grader="exact",
            environment=agent,
            gate="likelihood",
        )


@pytest.mark.slow
def test_hicra_scores_with_the_grams_of_its_run(world, tmp_path):
    """The preset's own edit score works where the gate asks for it."""
    learning, held = world
    asked = {"model": "tiny", "db": tmp_path / "x.db", "method": "hicra", "gate": "likelihood", **SMALL}
    tfgrpo.learn_sync(learning, heldout=held, **asked)
    found = edit_scores(tmp_path / "x.db")
    assert found
    assert {e.detail["score"] for e in found} == {"hicra"}
