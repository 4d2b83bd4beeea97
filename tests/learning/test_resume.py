"""A command says what it goes on from, and what changed when it starts anew."""

from __future__ import annotations

import pytest

from experience_db import Journal, Run, Store
from tfgrpo.learning.resume import continuation, differences


@pytest.fixture
def store(tmp_path):
    """An empty store with a library."""
    with Store.open(tmp_path / "x.db") as opened:
        opened.create_library("web")
        yield opened


def start(store: Store, id: str, name: str = "night", dataset: str = "d", **config: object) -> Run:
    """Record that a run begins."""
    about = {"config": config, "library": "web", "base_version": 0, "dataset": dataset}
    return store.start_run(id, name=name, kind="learn", fingerprint=id, **about)


def test_a_resumed_run_names_what_is_recorded(store):
    """The number of calls that will not be made again is said."""
    run = start(store, "a")
    Journal(store).put("k", role="rollout", model="m", request={}, reply={}, run="a")
    said = continuation(store, run, resumed="interrupted", named=True)
    assert said == "goes on with run a: 1 calls are recorded and will not be made again"


def test_a_finished_run_that_is_asked_for_again_says_so(store):
    """The same command after the end shows the same run, and how to have another one is said."""
    said = continuation(store, start(store, "a"), resumed="finished", named=True)
    assert said == "run a has finished before: its 0 calls answer again; another --seed makes another run"


def test_a_changed_setting_is_named(store):
    """The same name with another temperature is another run, and the sentence says why."""
    start(store, "a", rollout={"temperature": 1.0}, engine={"timeout": 5})
    run = start(store, "b", rollout={"temperature": 0.7}, engine={"timeout": 9})
    said = continuation(store, run, resumed="", named=True)
    assert said == "starts anew, not from run a: rollout.temperature was 1.0 and is 0.7"


def test_another_dataset_or_prompt_is_named(store):
    """What is in no setting is named as well."""
    start(store, "a")
    assert "the dataset is another one" in continuation(store, start(store, "b", dataset="e"), resumed="", named=True)
    assert "the prompts or the held-out problems changed" in continuation(
        store, start(store, "c", dataset="e"), resumed="", named=True
    )


def test_without_a_name_only_unfinished_runs_count(store):
    """A finished run with other settings is nothing that anybody wants to go on with."""
    start(store, "a", name="a", seed=0)
    store.finish_run("a", "finished", {})
    run = start(store, "b", name="b", seed=1)
    assert continuation(store, run, resumed="", named=False) == ""
    store.finish_run("b", "interrupted", {})
    again = start(store, "c", name="c", seed=2)
    assert "seed was 1 and is 2" in continuation(store, again, resumed="", named=False)


def test_many_differences_are_counted():
    """Speed and budgets are no differences, and settings that one side lacks are."""
    old = {"a": 1, "b": {"c": 2}, "engine": {"x": 1}, "budget": {"calls": 3}}
    assert differences(old, {"a": 1, "b": {"c": 3}, "d": 4}) == ["b.c was 2 and is 3", "d was not set and is 4"]
