"""A loopback endpoint for benchmarks, in a process of its own and as thin as asyncio allows.

    python -m support.fast_server [--median 0.5 --sigma 0.8] [--faults SEED]

It prints its URL and serves until its stdin closes. A rollout's latency is drawn from a lognormal by its text and seed,
so two runs that ask the same wait the same. `n` is honoured; a joined request takes as long as its slowest choice. With
`--faults` one request in five fails, in the shares of WEATHER. `GET /stats` tells what was asked, and how often each
fault struck.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
from collections import Counter
from typing import Any

from support import world

NORMAL = statistics.NormalDist()
WEATHER = {
    "429": 0.05,
    "500": 0.03,
    "hang": 0.01,
    "disconnect": 0.01,
    "malformed": 0.03,
    "null": 0.02,
    "empty": 0.02,
    "cut": 0.02,
    "html": 0.02,
}
HANG_SECONDS = 30.0


def latency(text: str, seed: int, median: float, sigma: float) -> float:
    """Return the seconds that one choice takes."""
    if median <= 0:
        return 0.0
    return median * math.exp(sigma * NORMAL.inv_cdf(random.Random(f"{seed}:{text}").uniform(1e-6, 1 - 1e-6)))


def answer(said: list[str], prompt: int, finish: str = "stop") -> dict[str, Any]:
    """Return the body of a chat completion with these choices."""
    choices = [
        {"index": i, "message": {"role": "assistant", "content": s}, "finish_reason": finish}
        for i, s in enumerate(said)
    ]
    usage = {"prompt_tokens": prompt, "completion_tokens": sum(len(s or "") // 4 + 1 for s in said)}
    return {"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}


def spoilt(fault: str, body: dict[str, Any], said: list[str], prompt: int) -> tuple[int, str]:
    """Return status and body of an answer that meets a fault. Half of an edit list is whole JSON around broken JSON."""
    if fault in {"429", "500"}:
        return int(fault), json.dumps({"error": {"message": "not now"}})
    if fault == "html":
        return 200, "<html><body>nothing to see</body></html>"
    if fault == "malformed" and "seed" in body:
        whole = json.dumps(answer(said, prompt))
        return 200, whole[: len(whole) // 2]
    texts: dict[str, list[Any]] = {
        "malformed": [text[: len(text) // 2] + "<oops>" for text in said],
        "null": [None] * len(said),
        "empty": [""] * len(said),
    }
    return 200, json.dumps(answer(texts.get(fault, said), prompt, "length" if fault == "cut" else "stop"))


class Endpoint(asyncio.Protocol):
    """One connection: requests with a Content-Length, answered in order, kept alive."""

    stats: Counter[str]
    median = 0.0
    sigma = 0.0
    luck: random.Random | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: Any = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            place = head.find(b"content-length:")
            length = int(head[place + 15 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            body, self.buffer = self.buffer[end + 4 : end + 4 + length], self.buffer[end + 4 + length :]
            if head.startswith(b"get"):
                self.send(json.dumps(self.stats).encode())
            else:
                self.answer(json.loads(body))

    def answer(self, body: dict[str, Any]) -> None:
        """Send the reply, or what came in its place, once its time has come."""
        text, seed = body["messages"][-1]["content"], body.get("seed", 0)
        bodies = [{**body, "seed": seed + j} for j in range(body.get("n") or 1)] if "seed" in body else [body]
        wait = max(latency(text, b.get("seed", 0), self.median, self.sigma) for b in bodies)
        said = [world.reply(b) for b in bodies]
        prompt = sum(len(m["content"]) for m in body["messages"]) // 4
        self.stats.update(calls=1, choices=len(said), prompt_tokens=prompt)
        fault = self.fault()
        if fault in {"hang", "disconnect"}:
            seconds = HANG_SECONDS if fault == "hang" else wait
            asyncio.get_running_loop().call_later(seconds, self.transport.abort)
            return
        status, payload = spoilt(fault, body, said, prompt) if fault else (200, json.dumps(answer(said, prompt)))
        if wait:
            asyncio.get_running_loop().call_later(wait, self.send, payload.encode(), status)
        else:
            self.send(payload.encode(), status)

    def fault(self) -> str:
        """Draw what goes wrong with a request; mostly nothing."""
        if self.luck is None:
            return ""
        found = self.luck.choices([*WEATHER, ""], [*WEATHER.values(), 1 - sum(WEATHER.values())])[0]
        if found:
            self.stats.update({f"fault {found}": 1})
        return found

    def send(self, payload: bytes, status: int = 200) -> None:
        """Write one response."""
        head = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(payload))
        self.transport.write(head + payload)


async def serve(median: float, sigma: float, faults: int | None) -> None:
    """Listen until stdin closes."""
    Endpoint.stats = Counter(calls=0, choices=0, prompt_tokens=0)
    Endpoint.median, Endpoint.sigma = median, sigma
    Endpoint.luck = None if faults is None else random.Random(faults)
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--median", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    parser.add_argument("--faults", type=int, help="seed of the faults; without it there are none")
    given = parser.parse_args()
    asyncio.run(serve(given.median, given.sigma, given.faults))
