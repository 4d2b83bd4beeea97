"""`proxy --record`: sessions as they pass, drawn, redacted, reported about, and never in the way of an answer."""

from __future__ import annotations

import asyncio
import gzip
import json

import anthropic
import httpx
import openai
import pytest
from aiohttp import web

from experience_db import Edit, Op, Serving, Store
from experience_db.session_records import Offer
from tfgrpo.proxy import Settings, build_app
from tfgrpo.proxy.library_routing import LibraryRouting
from tfgrpo.proxy.recorder import MOST_WAITING, Recorder
from tfgrpo.proxy.recording import Answer, asked, task_of, user_of
from tfgrpo.system.http_server import serve_in_background

KEY = "sk-abcdefghijklmnop"
ASK = {"model": "test-model", "messages": [{"role": "user", "content": f"Refund, my key is {KEY}"}]}


@pytest.fixture
def db(tmp_path):
    """A database with the library `support` of one lesson."""
    path = tmp_path / "experience.db"
    with Store.open(path) as store:
        store.create_library("support")
        store.commit("support", [Edit(Op.ADD, "Ask for the order number.")], parent=0)
    return path


@pytest.fixture
def recorded(db):
    """Start recording proxies before an upstream; `draw` says what sessions meet. Returns their URL and an end."""
    opened = []

    def start(upstream, draw=lambda: 0.99, **settings):
        routing, recorder = LibraryRouting(db, "support"), Recorder(db, [KEY], draw=draw)
        routing.open()
        recorder.open()
        running = serve_in_background(lambda: build_app(Settings(upstream, **settings), routing, recorder))
        opened.append((running, routing, recorder))
        return running.__enter__()

    def end():
        for running, routing, recorder in opened:
            running.__exit__(None, None, None)
            recorder.close()
            routing.close()
        opened.clear()

    yield start, end
    end()


def kept(db):
    """The sessions with their messages."""
    with Store.open(db, readonly=True) as store:
        return [(s, [m for turn in store.turns(s.id) for m in turn.messages]) for s in store.sessions("support")]


def test_a_session_is_kept_without_its_secrets(server, recorded, db):
    """Question, answer, user and report are kept, keys are not, and the text counts as a stranger's."""
    start, end = recorded
    client = openai.OpenAI(base_url=f"{start(server.url)}/v1", api_key=KEY)
    answer = client.chat.completions.with_raw_response.create(user="ann", **ASK)
    session = answer.headers["x-tfgrpo-session"]
    told = httpx.post(
        str(client.base_url).replace("/v1/", "/tfgrpo/feedback"),
        json={"session": session, "reward": 0.25, "feedback": f"no: {KEY}"},
    )
    assert (told.status_code, told.json()) == (200, {"kept": True})
    end()
    ((found, messages),) = kept(db)
    assert (found.id, found.arm, found.reward, found.outcome, found.source) == (
        session, "served", 0.25, "failed", "proxy",
    )  # fmt: skip
    assert found.tainted
    assert len(found.user) == 16
    assert [m["role"] for m in messages] == ["user", "assistant"]
    assert "order number" not in json.dumps(messages), "the lessons are not part of what was asked"
    assert (
        KEY.encode() not in db.read_bytes() + db.with_name(db.name + "-wal").read_bytes()
        if db.with_name(db.name + "-wal").exists()
        else KEY.encode() not in db.read_bytes()
    )


def test_shares_are_drawn_and_a_session_keeps_its_arm(server, recorded, db):
    """Control goes without lessons, the canary with the edit on trial; later requests of a session meet the same."""
    with Store.open(db) as store:
        ids = store.set_aside("support", [Edit(Op.ADD, "Be brief.")], status="undecided", reason="x", version=1)
        store.serve(Serving("support", 1, 0.2, 0.5, ids))
    draws = iter([0.1, 0.3, 0.2])
    start, end = recorded
    url = start(server.url, draws.__next__)
    shown = []
    for session in ("a", "b", "a", "b"):
        got = httpx.post(f"{url}/v1/chat/completions", json=ASK, headers={"x-tfgrpo-session": session})
        shown.append((got.headers.get("x-tfgrpo-library"), got.headers["x-tfgrpo-session"]))
    assert shown == [(None, "a"), (f"support@1+{ids[0]}", "b")] * 2
    told = [body["messages"][0]["content"] for body in server.bodies]
    assert "Be brief" not in told[0]
    assert "Be brief" in told[1]
    end()
    assert [(s.id, s.arm, s.edits, len(m)) for s, m in kept(db)] == [("a", "control", (), 4), ("b", "canary", ids, 4)]
    url = start(server.url, iter([]).__next__)
    got = httpx.post(f"{url}/v1/chat/completions", json=ASK, headers={"x-tfgrpo-session": "a"})
    assert "x-tfgrpo-library" not in got.headers, "also after a restart"


def test_what_is_on_trial_is_seen_by_the_next_request(server, recorded, db):
    """A trial that begins needs no restart, and the records that the proxy writes itself cost no new reading."""
    start, _ = recorded
    url = start(server.url, lambda: 0.0)
    assert "x-tfgrpo-library" in httpx.post(f"{url}/v1/chat/completions", json=ASK).headers
    with Store.open(db) as store:
        store.serve(Serving("support", 1, 0.2))
    assert "x-tfgrpo-library" not in httpx.post(f"{url}/v1/chat/completions", json=ASK).headers


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"session": "nobody", "reward": 1}, 404, "unknown_session"),
        ({"session": "s", "reward": 7}, 400, "between 0 and 1"),
        ({"session": "s", "reward": "good"}, 400, "reward"),
        ({"session": "s", "outcome": "fine"}, 400, "succeeded"),
        ({"session": "s"}, 400, "give a reward"),
        ({"reward": 1}, 400, "session"),
        ([], 400, "session"),
    ],
)
def test_reports_that_cannot_be_kept(server, recorded, body, status, word):
    """Each is refused with a sentence, typed, and the token guards them like everything else."""
    start, _ = recorded
    url = start(server.url)
    httpx.post(f"{url}/v1/chat/completions", json=ASK, headers={"x-tfgrpo-session": "s"})
    got = httpx.post(f"{url}/tfgrpo/feedback", json=body)
    assert got.status_code == status
    assert word in got.text
    guarded = start(server.url, token="t" * 12)
    assert httpx.post(f"{guarded}/tfgrpo/feedback", json={"session": "s", "reward": 1}).status_code == 401


def test_without_recording_nothing_is_kept(server, db):
    """A proxy that does not record passes the path on like any other and adds no header of a session."""
    routing = LibraryRouting(db, "support")
    routing.open()
    with serve_in_background(lambda: build_app(Settings(server.url), routing)) as url:
        got = httpx.post(f"{url}/v1/chat/completions", json=ASK)
    routing.close()
    assert "x-tfgrpo-session" not in got.headers
    assert kept(db) == []


def test_answers_of_all_kinds_are_read(recorded, db):
    """Streams and bodies of each protocol, packed or not, end up as one assistant message."""
    events = {
        "/v1/chat/completions": 'data: {"choices": [{"delta": {"content": "he"}}]}\n\n'
        'data: {"choices": [{"delta": {"content": "llo\u2028"}}]}\n\ndata: [DONE]\n\n',
        "/v1/responses": 'event: x\ndata: {"type": "response.output_text.delta", "delta": "hello"}\n\n',
        "/v1/messages": 'data: {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "hello"}}\n\n',
        "/v1/completions": json.dumps({"choices": [{"text": "hello"}]}),
    }

    async def answer(request):
        body, packed = events[request.path].encode(), request.path == "/v1/messages"
        kind = "text/event-stream" if body.startswith((b"data", b"event")) else "application/json"
        headers = {"Content-Type": kind, **({"Content-Encoding": "gzip"} if packed else {})}
        return web.Response(body=gzip.compress(body) if packed else body, headers=headers)

    def make():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        return app

    start, end = recorded
    with serve_in_background(make) as upstream:
        url = start(upstream)
        for path in events:
            assert httpx.post(url + path, json=ASK | {"input": "q", "prompt": "q", "instructions": "i"}).is_success
        end()
    ends = [messages[-1] for _, messages in kept(db)]
    assert {end["role"] for end in ends} == {"assistant"}
    assert [end["content"] for end in ends] == ["hello\u2028", "hello", "hello", "hello"]


def test_a_broken_answer_is_kept_as_such(recorded, db):
    """An upstream that dies in the middle of a stream leaves what came, and why there is no more of it."""

    async def die(request):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Content-Length": "1000"})
        await answer.prepare(request)
        await answer.write(b'data: {"choices": [{"delta": {"content": "half"}}]}\n\n')
        request.transport.abort()
        return answer

    def make():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", die)
        return app

    start, end = recorded
    with serve_in_background(make) as upstream:
        url = start(upstream)
        with pytest.raises(httpx.HTTPError):
            httpx.post(f"{url}/v1/chat/completions", json=ASK)
        httpx.post(f"{start('http://127.0.0.1:9')}/v1/chat/completions", json=ASK)
        end()
    with Store.open(db, readonly=True) as store:
        turns = [store.turns(s.id)[0] for s in store.sessions("support")]
    assert turns[0].failure.startswith("the answer broke off")
    assert turns[0].messages[-1]["content"] == "half"
    assert turns[1].failure == "the upstream answered 502"


def test_a_slow_disk_costs_records_never_answers(db):
    """Beyond the queue records are left out and counted; what was drawn stands."""
    recorder = Recorder(db)
    offer = Offer(Store.open(db, readonly=True).library("support"))
    for _ in range(MOST_WAITING + 10):
        recorder.begin(offer, "", "t", "")
    assert recorder.lost == 10


def test_an_anthropic_client_is_recorded(recorded, db):
    """Counting tokens is no session; a message with a user in its metadata is."""

    async def answer(request):
        if request.path.endswith("count_tokens"):
            return web.json_response({"input_tokens": 3})
        return web.json_response(
            {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
             "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1}}
        )  # fmt: skip

    def make():
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        return app

    start, end = recorded
    with serve_in_background(make) as upstream:
        client = anthropic.Anthropic(base_url=start(upstream), api_key="x" * 20)
        said = [{"role": "user", "content": "q"}]
        client.messages.count_tokens(model="m", messages=said)
        client.messages.create(model="m", max_tokens=5, messages=said, metadata={"user_id": "u"}, system="Be kind.")
        client.close()
        end()
    ((session, messages),) = kept(db)
    assert session.user
    assert [m["content"] for m in messages] == ["Be kind.", "q", "hi"]


def test_pure_parts():
    """Odd bodies have no task and no user, and an unknown encoding is told."""
    assert asked("chat", {"messages": "x"}) == [{"role": "user", "content": "x"}]
    assert (
        task_of(asked("responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "q"}]}]}))
        == "q"
    )
    assert task_of([]) == ""
    assert user_of({}, {"user": 7, "metadata": []}) == ""
    answer = Answer("chat", 200, {"Content-Encoding": "br"})
    answer.add(b"x")
    assert answer.messages() == ([], "an answer in the encoding 'br' is not read")
    broken = Answer("chat", 200, {"Content-Encoding": "gzip"})
    broken.add(b"x")
    assert broken.messages()[0] == []


def test_many_writers_share_the_file(server, recorded, db):
    """While another process writes the library, answers come and nothing is lost."""
    start, end = recorded
    url = start(server.url)

    async def run():
        async with httpx.AsyncClient() as client:
            return await asyncio.gather(*(client.post(f"{url}/v1/chat/completions", json=ASK) for _ in range(40)))

    with Store.open(db) as store, store.atomic():
        got = asyncio.run(run())
    assert {g.status_code for g in got} == {200}
    end()
    assert len(kept(db)) == 40
