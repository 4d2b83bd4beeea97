"""A loopback endpoint for benchmarks, in a process of its own and as thin as asyncio allows.

    python -m support.fast_server [--median 0.5 --sigma 0.8]        # prints its URL, serves until its stdin closes

A rollout's latency is drawn from a lognormal by its text and seed, so two runs that ask the same wait the same. `n` is
honoured; a joined request takes as long as its slowest choice. `GET /stats` tells what was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import statistics
import sys
from typing import Any

from support import world

NORMAL = statistics.NormalDist()


def latency(text: str, seed: int, median: float, sigma: float) -> float:
    """Return the seconds that one choice takes."""
    if median <= 0:
        return 0.0
    return median * math.exp(sigma * NORMAL.inv_cdf(random.Random(f"{seed}:{text}").uniform(1e-6, 1 - 1e-6)))


class Endpoint(asyncio.Protocol):
    """One connection: requests with a Content-Length, answered in order, kept alive."""

    stats: dict[str, int]
    median = 0.0
    sigma = 0.0

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
        """Send the reply once its time has come."""
        text, seed = body["messages"][-1]["content"], body.get("seed", 0)
        bodies = [{**body, "seed": seed + j} for j in range(body.get("n") or 1)] if "seed" in body else [body]
        wait = max(latency(text, b.get("seed", 0), self.median, self.sigma) for b in bodies)
        said = [world.reply(b) for b in bodies]
        prompt = sum(len(m["content"]) for m in body["messages"]) // 4
        usage = {"prompt_tokens": prompt, "completion_tokens": sum(len(s) // 4 + 1 for s in said)}
        choices = [
            {"index": i, "message": {"role": "assistant", "content": s}, "finish_reason": "stop"}
            for i, s in enumerate(said)
        ]
        payload = json.dumps({"id": "x", "object": "chat.completion", "choices": choices, "usage": usage}).encode()
        self.stats["calls"] += 1
        self.stats["choices"] += len(said)
        self.stats["prompt_tokens"] += prompt
        if wait:
            asyncio.get_running_loop().call_later(wait, self.send, payload)
        else:
            self.send(payload)

    def send(self, payload: bytes) -> None:
        """Write one response."""
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(payload)
        self.transport.write(head + payload)


async def serve(median: float, sigma: float) -> None:
    """Listen until stdin closes."""
    Endpoint.stats = {"calls": 0, "choices": 0, "prompt_tokens": 0}
    Endpoint.median, Endpoint.sigma = median, sigma
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--median", type=float, default=0.0)
    parser.add_argument("--sigma", type=float, default=0.0)
    given = parser.parse_args()
    asyncio.run(serve(given.median, given.sigma))
