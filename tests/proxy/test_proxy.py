"""The proxy over real sockets: clients of two protocols in front, an upstream behind that answers, streams and dies."""

import asyncio
import gzip
import json
import socket

import httpx
import openai
import pytest
from aiohttp import ClientError, ClientSession, web

from experience_db import Edit, Op, Store
from tfgrpo.config import LessonsConfig
from tfgrpo.proxy import Settings, build_app
from tfgrpo.proxy.library_routing import LibraryRouting
from tfgrpo.retrieval import retrieval_for
from tfgrpo.system.http_server import serve_in_background


@pytest.fixture
def db(tmp_path):
    """A database with two libraries of one lesson each."""
    path = tmp_path / "experience.db"
    with Store.open(path) as store:
        for name in ("algebra", "support"):
            made = store.create_library(name)
            store.commit(name, [Edit(Op.ADD, f"A lesson about {name}.")], parent=made.version)
    return path


@pytest.fixture
def proxied(db):
    """Start proxies before an upstream; returns their URL."""
    opened = []

    def start(upstream, **settings):
        served = LibraryRouting(db, settings.pop("library", "algebra"), settings.pop("retrieval", None))
        served.open()
        running = serve_in_background(lambda: build_app(Settings(upstream, **settings), served))
        opened.append((running, served))
        return running.__enter__()

    yield start
    for running, served in opened:
        running.__exit__(None, None, None)
        served.close()


def own(handler):
    """An upstream of one's own: whatever `handler` answers."""

    def make():
        app = web.Application(client_max_size=2**30)
        app.router.add_route("*", "/{path:.*}", handler)
        return app

    return serve_in_background(make)


def test_an_unchanged_client_gets_lessons(server, proxied):
    """The openai client needs a base URL and nothing else; header and suffix choose another library."""
    url = proxied(server.url)
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="sk-none-of-it")
    asked = {"messages": [{"role": "user", "content": "2 + 2"}]}
    answer = client.chat.completions.with_raw_response.create(model="test-model", **asked)
    assert answer.headers["x-tfgrpo-library"] == "algebra@1"
    client.chat.completions.create(model="test-model:support", **asked)
    client.chat.completions.create(model="test-model", extra_headers={"x-tfgrpo-library": "support@0"}, **asked)
    shown = [body["messages"][0]["content"] for body in server.bodies]
    assert "about algebra" in shown[0]
    assert "about support" in shown[1]
    assert shown[2] == "2 + 2"
    assert {body["model"] for body in server.bodies} == {"test-model"}
    assert all(h["Authorization"] == "Bearer sk-none-of-it" for h in server.headers)


def test_a_new_version_is_seen_by_the_next_request(server, proxied, db):
    """A commit of another process needs no restart."""
    client = openai.OpenAI(base_url=f"{proxied(server.url)}/v1", api_key="sk-none-of-it")
    ask = {"model": "test-model", "messages": [{"role": "user", "content": "q"}]}
    client.chat.completions.create(**ask)
    with Store.open(db) as store:
        store.commit("algebra", [Edit(Op.ADD, "Brand new.")], parent=1)
    client.chat.completions.create(**ask)
    first, second = (body["messages"][0]["content"] for body in server.bodies)
    assert "Brand new" not in first
    assert "Brand new" in second


def test_what_is_unknown_goes_on_untouched(proxied):
    """Other paths, odd bodies, compressed answers, statuses and headers pass as they are, in both directions."""

    async def echo(request):
        body = await request.read()
        return web.Response(
            status=418, body=body, headers={"X-Theirs": request.headers.get("X-Mine", ""), "X-Path": request.raw_path}
        )

    async def run(url):
        async with ClientSession() as session:
            for path, body in (("/v1/embeddings?x=%20y", b"\x00\xff"), ("/v1/chat/completions", b"[not json")):
                async with session.post(url + path, data=body, headers={"X-Mine": "1"}) as got:
                    assert (got.status, await got.read()) == (418, body)
                    assert (got.headers["X-Theirs"], got.headers["X-Path"]) == ("1", path)

    with own(echo) as upstream:
        asyncio.run(run(proxied(upstream)))


def test_a_packed_body_is_passed_on_unpacked(proxied):
    """A client may compress what it sends: the upstream gets the words and no promise of another encoding."""

    async def echo(request):
        return web.json_response([request.headers.get("Content-Encoding"), await request.json()])

    async def run(url):
        packed, headers = gzip.compress(b'{"messages": []}'), {"Content-Encoding": "gzip"}
        async with ClientSession() as session, session.post(f"{url}/v1/messages", data=packed, headers=headers) as got:
            encoding, body = await got.json()
            assert encoding is None
            assert "about algebra" in body["system"]

    with own(echo) as upstream:
        asyncio.run(run(proxied(upstream)))


def test_a_stream_arrives_as_it_is_sent(proxied):
    """Each piece is passed on before the next one is made: the upstream waits for the client to have read it."""
    read = []

    async def stream(request):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for i in range(3):
            await answer.write(f"data: {i}\n\n".encode())
            while len(read) <= i:
                await asyncio.sleep(0.005)
        return answer

    async def run(url):
        async with ClientSession() as session, session.post(f"{url}/v1/chat/completions", json={}) as got:
            async for line in got.content:
                if line.strip():
                    read.append(line.strip())

    with own(stream) as upstream:
        asyncio.run(run(proxied(upstream)))
    assert read == [b"data: 0", b"data: 1", b"data: 2"]


def test_an_upstream_that_dies_in_a_stream_is_never_taken_for_its_end(proxied):
    """The client sees an error event, and then a broken connection."""

    async def dying(request):
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: 0\n\n")
        request.transport.abort()
        return answer

    async def run(url):
        seen = b""
        async with ClientSession() as session, session.post(f"{url}/v1/chat/completions", json={}) as got:
            try:
                async for piece in got.content.iter_any():
                    seen += piece
            except ClientError:
                return seen
        pytest.fail("the stream ended as if it were whole")

    with own(dying) as upstream:
        seen = asyncio.run(run(proxied(upstream)))
    assert seen.startswith(b"data: 0")
    assert json.loads(seen.rpartition(b"data: ")[2])["error"]["type"] == "upstream_closed"


def test_what_cannot_be_passed_on_is_typed(proxied):
    """No upstream, a body over the limit, no such library, no token: a status and one sentence each."""

    async def run(url, status, kind, **asked):
        async with ClientSession() as session, session.post(f"{url}/v1/chat/completions", **asked) as got:
            assert got.status == status
            error = (await got.json())["error"]
            assert error["type"] == kind
            assert error["message"]

    async def fine(request):
        return web.json_response({})

    asyncio.run(run(proxied("http://127.0.0.1:1/v1"), 502, "upstream_unreachable", json={}))
    with own(fine) as upstream:
        asyncio.run(run(proxied(upstream, body_bytes=1000), 413, "too_large", json={"x": "y" * 2000}))
        other = {"x-tfgrpo-library": "nobody"}
        asyncio.run(run(proxied(upstream), 404, "library_not_found", json={}, headers=other))
        asyncio.run(run(proxied(upstream, token="a-long-token"), 401, "unauthorized", json={}))


def test_a_large_body_flows_through(proxied):
    """What carries no prompt is passed on in pieces: the upstream reads its beginning before its end was sent."""
    got_some = asyncio.Event()
    total = []

    async def count(request):
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
            got_some.set()
        total.append(size)
        return web.json_response({})

    async def body():
        yield b"x" * 2**16
        while not got_some.is_set():
            await asyncio.sleep(0.005)
        for _ in range(64):
            yield b"x" * 2**16

    async def run(url):
        async with ClientSession() as session, session.post(f"{url}/v1/files", data=body()) as got:
            assert got.status == 200

    with own(count) as upstream:
        asyncio.run(run(proxied(upstream, body_bytes=1000)))
    assert total == [65 * 2**16]


def test_the_command_refuses_what_is_unsafe(cli_run):
    """An address that others reach needs a token; an upstream is a URL."""
    assert "can be reached by others" in cli_run("proxy", "--upstream", "http://h", "--host", "0.0.0.0")
    assert "--upstream is a URL" in cli_run("proxy", "--upstream", "h")
    told = cli_run("proxy", "--upstream", "https://me:password@h?key=abcdefgh")
    assert "https://h ends with its path" in told
    assert "abcdefgh" not in told


@pytest.fixture
def cli_run():
    """Run a command that ends with 2, and return its stderr."""
    from typer.testing import CliRunner

    from tfgrpo.cli.app import app

    def run(*words):
        result = CliRunner().invoke(app, list(words))
        assert result.exit_code == 2, result.output
        return result.stderr

    return run


def test_a_name_that_was_pointed_at_loopback_is_refused_without_a_token(proxied, server):
    """A page of another site reads no lessons by DNS rebinding; a token is proof enough by itself."""
    hosts = {"evil.example": 403, "127.0.0.1.evil.example": 403, "[x": 403, "localhost:1": 200, "127.0.0.1": 200}
    ask = {"model": "test-model", "messages": [{"role": "user", "content": "q"}]}
    open_, closed = proxied(server.url), proxied(server.url, token="tok-of-the-proxy")
    for host, status in hosts.items():
        assert httpx.post(f"{open_}/v1/chat/completions", json=ask, headers={"Host": host}).status_code == status
    named = {"Host": "proxy.example", "Authorization": "Bearer tok-of-the-proxy"}
    assert httpx.post(f"{closed}/v1/chat/completions", json=ask, headers=named).status_code == 200


def test_the_upstreams_key_goes_to_no_other_host(proxied, server):
    """A request whose target is a whole URL is refused, and so are many spellings of one version."""
    url = proxied(server.url, token="tok-of-the-proxy", upstream_key="sk-of-the-upstream")
    host, port = url.removeprefix("http://").split(":")
    for target in ("pany://x/v1/models", "http://elsewhere.example/v1/models", "/v1/../models"):
        with socket.create_connection((host, int(port))) as line:
            line.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer tok-of-the-proxy\r\n\r\n".encode())
            assert line.recv(100).startswith(b"HTTP/1.1 400 ")
    for version in ("01", "1" * 5000, "9" * 30):
        headers = {"Authorization": "Bearer tok-of-the-proxy", "x-tfgrpo-library": f"algebra@{version}"}
        assert httpx.post(f"{url}/v1/messages", json={}, headers=headers).status_code == 404
    assert not server.headers


@pytest.mark.parametrize("name", ["fts", "embedding", "hybrid"])
def test_a_request_gets_the_lessons_that_suit_it(server, proxied, db, name):
    """A large library is searched, by words and by vectors of the upstream's own model."""
    with Store.open(db) as store:
        head = store.commit("algebra", [Edit(Op.ADD, f"Rule {i}: count the boats.") for i in range(2100)], parent=1)
        store.commit("algebra", [Edit(Op.ADD, "Add tractors twice.")], parent=head.version)
    config = LessonsConfig(embedding="openai/embed", embedding_url=server.url, retrieval_tokens=40)
    url = proxied(server.url, retrieval=retrieval_for(name, config))
    asked = {"model": "m", "messages": [{"role": "user", "content": "How many tractors?"}]}
    server.embed = lambda text: [float("tractors" in text), float("boats" in text)]
    assert httpx.post(f"{url}/v1/chat/completions", json=asked).headers["x-tfgrpo-library"] == "algebra@3"
    told = server.bodies[-1]["messages"][0]["content"]
    assert "Add tractors twice." in told
    assert "boats" not in told


def test_an_app_outlives_the_model_that_embeds(server, proxied, caplog):
    """Its requests pass without lessons while the model does not answer, and the log says so."""
    config = LessonsConfig(embedding="openai/embed", embedding_url=f"{server.url}/nothing")
    url = proxied(server.url, retrieval=retrieval_for("embedding", config))
    asked = {"model": "m", "messages": [{"role": "user", "content": "2 + 2"}]}
    answer = httpx.post(f"{url}/v1/chat/completions", json=asked)
    assert (answer.status_code, "x-tfgrpo-library" in answer.headers) == (200, False)
    assert server.bodies[-1]["messages"] == asked["messages"]
    assert "check lessons.embedding" in caplog.text
