"""Pages follow what other processes write."""

import time
from contextlib import ExitStack

import httpx
from support.patience import AMPLE

from experience_db import Edit, Op, Store
from tfgrpo.ui.server_events import MOST_STREAMS


def test_a_change_by_another_process_is_told(writer):
    """A commit elsewhere comes as an event, and the page then shows it."""
    with httpx.stream("GET", f"{writer.where}/events", timeout=AMPLE, trust_env=False) as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry")
        with Store.open(writer.db) as store:
            store.commit("web", [Edit(Op.ADD, "Seen at once.")], parent=store.library("web").version)
        assert "event: change" in lines
    assert "Seen at once." in writer.page("/library/web")


def test_streams_have_a_limit(writer):
    """One more than may listen is sent away with the reason; once one has gone there is room again."""
    with (
        ExitStack() as opened,
        httpx.Client(timeout=AMPLE, trust_env=False, limits=httpx.Limits(max_connections=None)) as client,
    ):
        streams = [opened.enter_context(client.stream("GET", f"{writer.where}/events")) for _ in range(MOST_STREAMS)]
        assert {stream.status_code for stream in streams} == {200}
        refused = client.get(f"{writer.where}/events")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
        assert "close one" in refused.text
    with Store.open(writer.db) as store:
        store.commit("web", [Edit(Op.ADD, "Wakes the streams.")], parent=store.library("web").version)
    for _ in range(100):
        with httpx.stream("GET", f"{writer.where}/events", timeout=AMPLE, trust_env=False) as again:
            if again.status_code == 200:
                return
        time.sleep(0.1)
    raise AssertionError("no stream was given back")


def test_a_run_shows_how_far_it_is(writer):
    """A step that is recorded while somebody looks is on the part of the page that is loaded anew."""
    with Store.open(writer.db) as store, store.claim("web", "run live of somebody"):
        store.start_run("live", name="live", kind="learn", fingerprint="f", config={}, library="web", base_version=0,
                        dataset="d")  # fmt: skip
        assert "running" in writer.page("/run/live/live")
        assert "Learning curve" not in writer.page("/run/live/live")
        for n in range(2):
            store.record_group("live", 0, problem={"id": f"p{n}"}, status="kept", version=0,
                               rollouts=[{}, {}], rewards=[0.0, 1.0])  # fmt: skip
        store.record_step("live", 0, epoch=0, version_before=0, version_after=0, summary={})
        shown = writer.page("/run/live/live")
    assert "Learning curve" in shown
    assert "0.500" in shown
    assert "died" in writer.page("/run/live/live")
