"""What the proxy costs: added latency, requests a second against a bare pass-through, slow clients, large bodies.

    python tests/benchmarks/proxy.py --requests 3000 --body-gb 3 --slow 400 --json

The upstream, the proxy and a bare pass-through (the same HTTP library, nothing but copying) are three processes on this
machine, and this one asks. Latency: one request at a time, in turn to upstream, pass-through and proxy; what is added
is the difference of the medians. Throughput: 64 at once through each. Slow clients send a request and read the streamed
answer a byte at a time, all at once; the memory of the proxy is read from /proc at its peak (VmHWM). A body of so many
GB flows to the upstream, which counts it. `--record` keeps sessions meanwhile.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from experience_db import Edit, Op, Store
from tfgrpo.proxy import Settings, build_app
from tfgrpo.proxy.library_routing import LibraryRouting
from tfgrpo.proxy.recorder import Recorder
from tfgrpo.system.http_server import serve_while

ASK = {"model": "m", "messages": [{"role": "user", "content": "My card was charged twice. " * 20}]}
ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Sorry. " * 100}}]}
MIB = 2**20


def upstream_app() -> web.Application:
    """Answers chats at once, streams slowly where asked, and counts what else comes."""

    async def chat(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not body.get("stream"):
            return web.json_response(ANSWER)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for _ in range(20):
            await answer.write(b"data: {}\n\n" * 20)
        return answer

    async def count(request: web.Request) -> web.Response:
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        return web.json_response({"size": size})

    app = web.Application(client_max_size=MIB)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_route("*", "/{path:.*}", count)
    return app


def bare_app(upstream: str) -> web.Application:
    """Copies requests and answers, and does nothing else."""
    app = web.Application(client_max_size=32 * MIB)

    async def session(_: web.Application):
        async with ClientSession(connector=TCPConnector(limit=2000), auto_decompress=False) as opened:
            app["session"] = opened
            yield

    async def copy(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with app["session"].post(
            upstream + request.path, data=body, headers={"Content-Type": "application/json"}
        ) as got:
            answer = web.StreamResponse(status=got.status)
            await answer.prepare(request)
            async for piece in got.content.iter_any():
                await answer.write(piece)
            return answer

    app.cleanup_ctx.append(session)
    app.router.add_route("*", "/{path:.*}", copy)
    return app


def proxy_app(upstream: str, db: str, record: bool) -> web.Application:
    """The proxy as `tfgrpo proxy` makes it."""
    routing = LibraryRouting(Path(db), "support")
    routing.open()
    recorder = Recorder(Path(db)) if record else None
    if recorder:
        recorder.open()
    return build_app(Settings(upstream), routing, recorder)


def served(make, *arguments):
    """Serve an app in a process of its own; returns the process and its URL."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
    process.start()
    return process, ours.recv()


def _serve(pipe, make, arguments) -> None:
    async def run() -> None:
        async with serve_while(make(*arguments), "127.0.0.1", 0) as url:
            pipe.send(url)
            await asyncio.Event().wait()

    asyncio.run(run())


async def latency(urls: dict[str, str], requests: int) -> dict[str, float]:
    """Median seconds of one request at a time, in turn."""
    found: dict[str, list[float]] = {name: [] for name in urls}
    async with ClientSession() as session:
        for i in range(requests):
            for name, url in urls.items():
                began = time.perf_counter()
                async with session.post(f"{url}/v1/chat/completions", json=ASK) as got:
                    await got.read()
                if i >= requests // 10:
                    found[name].append(time.perf_counter() - began)
    return {name: statistics.median(values) for name, values in found.items()}


async def rate(url: str, requests: int, at_once: int = 64) -> float:
    """Requests a second with so many under way."""
    left = iter(range(requests))
    async with ClientSession(connector=TCPConnector(limit=at_once)) as session:

        async def one() -> None:
            for _ in left:
                async with session.post(f"{url}/v1/chat/completions", json=ASK) as got:
                    await got.read()

        began = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(at_once)))
        return requests / (time.perf_counter() - began)


async def slow(url: str, clients: int) -> int:
    """Let so many clients read a stream a little at a time; returns how many got all of it."""
    async with ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=300)) as session:

        async def one() -> bool:
            async with session.post(f"{url}/v1/chat/completions", json={**ASK, "stream": True}) as got:
                size = 0
                while piece := await got.content.read(100):
                    size += len(piece)
                    await asyncio.sleep(0.02)
                return size == 20 * 20 * len(b"data: {}\n\n")

        return sum(await asyncio.gather(*(one() for _ in range(clients))))


async def large(url: str, size: int) -> int:
    """Send a body of so many bytes to a path without a prompt; returns how many arrived."""
    piece = bytes(MIB)

    async def body():
        for _ in range(size // MIB):
            yield piece

    async with (
        ClientSession(timeout=ClientTimeout(total=600)) as session,
        session.post(f"{url}/v1/files", data=body()) as got,
    ):
        return int((await got.json())["size"])


def peak_mib(pid: int) -> float:
    """Most memory that a process has held, in MiB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--slow", type=int, default=400)
    parser.add_argument("--body-gb", type=float, default=3.0)
    parser.add_argument("--record", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        db = f"{folder}/e.db"
        with Store.open(db) as store:
            store.create_library("support")
            store.commit("support", [Edit(Op.ADD, f"Lesson {i} of the desk.") for i in range(20)], parent=0)
        up, upstream = served(upstream_app)
        bare, passing = served(bare_app, upstream)
        proxy, url = served(proxy_app, upstream, db, given.record)
        medians = asyncio.run(latency({"upstream": upstream, "bare": passing, "proxy": url}, given.requests // 4))
        rates = {
            n: asyncio.run(rate(u, given.requests))
            for n, u in (("bare", passing), ("proxy", url), ("bare again", passing))
        }
        before = peak_mib(proxy.pid)
        whole = asyncio.run(slow(url, given.slow))
        after_slow = peak_mib(proxy.pid)
        size = int(given.body_gb * 1024) * MIB
        arrived = asyncio.run(large(url, size))
        found = {
            "added_ms": {"over_upstream": 1e3 * (medians["proxy"] - medians["upstream"]),
                         "over_bare": 1e3 * (medians["proxy"] - medians["bare"])},
            "requests_per_second": rates, "ratio": 2 * rates["proxy"] / (rates["bare"] + rates["bare again"]),
            "slow_clients": {"asked": given.slow, "whole": whole},
            "large_body": {"sent": size, "arrived": arrived},
            "peak_mib": {"before": before, "slow": after_slow, "large": peak_mib(proxy.pid)},
        }  # fmt: skip
        for process in (proxy, bare, up):
            process.terminate()
    print(json.dumps(found) if given.json else json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
