"""Search and pages inside of a run: recorded once, replayed without a server, and ended where no search can succeed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from support.script import play
from support.web import Answer, Web

import tfgrpo
from tfgrpo.errors import EndpointError
from tfgrpo.types import Reply, Request

KEY = "sk-marked-13579"
PROBLEMS = [{"id": "p1", "question": "Which lake lies at Zürich?", "answer": "Lake Zürich"}]
FOUND = {"results": [{"title": "Zürich", "url": "https://wiki.example/Zurich", "snippet": "A city."}]}
PAGE = "<html><head><title>Zürich</title></head><body><p>The city lies at Lake Zürich.</p></body></html>"


def call(name: str, **arguments: str) -> Reply:
    """A reply that calls one tool."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    return Reply("", "tool_calls", tool_calls=({"id": name, "type": "function", "function": function},))


class Reader:
    """A model that searches, reads the page and answers with what stands behind 'at'."""

    def __call__(self, request: Request) -> Reply:
        """Take the next step."""
        told = [str(m["content"]) for m in request.messages if m.get("role") == "tool"]
        if not told:
            return call("web_search", query="Zürich lake")
        if len(told) == 1:
            return call("fetch_page", url="https://wiki.example/Zurich") if "1. Zürich" in told[0] else Reply("lost")
        return Reply("Answer: " + told[1].rpartition("lies at ")[2].rstrip("."))


def measured(db: Path, web: Web, **search: Any) -> tfgrpo.EvalResult:
    """Measure the reader with tools that ask `web`."""
    tools: Mapping[str, Any] = {
        "web_search": {"provider": f"{web.url}/search", "identity": "small", "attempts": 1, **search},
        "fetch_page": {"via": f"{web.url}/page", "identity": "small"},
    }
    environment = {"environment__kind": "tool_loop", "environment__tools": ["web_search", "fetch_page"]}
    return tfgrpo.evaluate_sync(
        PROBLEMS, model=play(Reader(), "reader"), grader="exact", db=db, tools=tools, **environment
    )


def test_a_resumed_run_sees_the_same_web(tmp_path: Path):
    """The second time nothing is asked, though the web is gone and its port another: the records answer."""
    with Web(lambda asked: Answer(FOUND if asked.path == "/search" else PAGE)) as web:
        first = measured(tmp_path / "a.db", web)
        assert [asked.path for asked in web.asked] == ["/search", "/page"]
    with Web(Answer("gone", 404)) as other:
        second = measured(tmp_path / "a.db", other)
        assert not other.asked
    assert first.summary["mean"] == second.summary["mean"] == 1.0
    one, two = (found.evaluation.graded_P_K[0][0].rollout for found in (first, second))
    assert one.messages == two.messages
    assert one.tainted


def test_a_failed_search_is_told_to_the_model(tmp_path: Path):
    """An outage is a result the model reads; the rollout goes on and is graded."""
    with Web(Answer("", 500)) as web:
        found = measured(tmp_path / "a.db", web)
    (call_,) = found.evaluation.graded_P_K[0][0].rollout.tool_calls
    assert call_.failure is not None
    assert "500" in call_.text
    assert found.summary["mean"] == 0.0


def test_a_refused_key_ends_the_run_and_is_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A provider that refuses every search ends the measurement; the key is in neither message nor database."""
    monkeypatch.setenv("SERPER_API_KEY", KEY)
    with Web(Answer({"message": f"bad key {KEY}"}, 403)) as web, pytest.raises(EndpointError, match="403") as caught:
        measured(tmp_path / "a.db", web, provider="serper", base_url=web.url)
    assert KEY not in str(caught.value)
    assert not [file for file in tmp_path.iterdir() if KEY.encode() in file.read_bytes()]
