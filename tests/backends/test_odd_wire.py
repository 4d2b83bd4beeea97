"""What servers and gateways get wrong below JSON: each is a failure of its call, and none a traceback."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from tfgrpo.backends import OpenAI
from tfgrpo.errors import ProviderError
from tfgrpo.types import Request

ASK = Request("rollout", "m", ({"role": "user", "content": "2+2?"},))
GOOD = json.dumps({"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}).encode()


def said(status: str, *headers: str, body: bytes = b"") -> bytes:
    """An answer as it goes over the wire."""
    lines = (f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", "")
    return "\r\n".join(lines).encode("latin-1") + body


def stream(*choices: dict[str, Any], last: str = "data: [DONE]") -> bytes:
    """An answer as events, of one choice each."""
    events = [f"data: {json.dumps({'object': 'chat.completion.chunk', 'choices': [choice]})}" for choice in choices]
    return "\r\n\r\n".join([": as it comes", "event: message", *events, last, ""]).encode()


BEGUN = {"index": 0, "delta": {"role": "assistant", "content": "4"}}
ENDED = {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}

WIRE = {
    "a stream that nobody asked for": (said("200 OK", body=stream(BEGUN, ENDED)), "4"),
    "a stream that ends without its mark": (said("200 OK", body=stream(BEGUN, ENDED, last='data: {"usage"')), "4"),
    "a stream that breaks off": (said("200 OK", body=stream(BEGUN)), None),
    "a stream that breaks off in an event": (said("200 OK", body=stream(BEGUN, last='data: {"choices": [')), None),
    "a stream with an error": (
        said("200 OK", body=stream(BEGUN, ENDED, last='data: {"error": {"message": "overloaded", "code": 503}}')),
        None,
    ),
    "a stream of nothing": (said("200 OK", body=b"data: [DONE]"), None),
    "a byte order mark": (said("200 OK", body=b"\xef\xbb\xbf" + GOOD), "4"),
    "a header in Latin-1": (said("200 OK", "X-A: \xff", body=GOOD), "4"),
    "packed in capitals": (said("200 OK", "Content-Encoding: GZIP", body=gzip.compress(GOOD)), "4"),
    "packed in two parts": (
        said("200 OK", "Content-Encoding: gzip", body=gzip.compress(GOOD[:20]) + gzip.compress(GOOD[20:])),
        "4",
    ),
    "packed and filled up": (said("200 OK", "Content-Encoding: gzip", body=gzip.compress(GOOD) + bytes(64)), "4"),
    "interim answers": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + said("200 OK", body=GOOD), "4"),
    "not packed as it says": (said("200 OK", "Content-Encoding: gzip", body=GOOD), None),
    "packed twice": (said("200 OK", "Content-Encoding: gzip, gzip", body=gzip.compress(gzip.compress(GOOD))), None),
    "another encoding": (said("200 OK", body=GOOD.decode().encode("utf-16")), None),
    "a redirect to no address": (said("307 X", "Location: http://[::1"), None),
    "a redirect to no port": (said("308 X", "Location: http://127.0.0.1:99999/x"), None),
    "a redirect to a file": (said("302 X", "Location: file:///etc/passwd"), None),
    "a length below nothing": (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + GOOD, None),
    "a wait without a calendar": (said("429 X", "Retry-After: Fri, 31 Dec 99999 23:59:59 GMT", body=b"{}"), None),
    "a status of its own": (said("999 X", body=GOOD), None),
    "another protocol": (b"\x16\x03\x01\x02\x00", None),
    "nothing": (b"", None),
}


@pytest.mark.parametrize("transport", ["aiohttp", "sdk"])
async def test_what_goes_wrong_on_the_wire_is_a_failure_of_its_call(transport):
    """Odd but whole answers are read; everything else is an error of ours, which names the place."""
    raw = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length.partition(b":")[2]))
        writer.write(raw)
        await writer.drain()
        writer.close()

    for name, (sent, answer) in WIRE.items():
        raw = sent
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        backend = OpenAI(url, "key-12345678", model="m", transport=transport, timeout=20)
        if answer is None:
            with pytest.raises(ProviderError) as told:
                await backend.complete(ASK)
            assert url in str(told.value), name
        else:
            assert (await backend.complete(ASK)).text == answer, name
        await backend.aclose()
        server.close()
