"""Proxies of the environment, in every form that people write, for whatever is asked over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tfgrpo.backends import OpenAI
from tfgrpo.backends.http import Http, NotDelivered
from tfgrpo.backends.score_http import HttpScores
from tfgrpo.errors import EndpointError, ProviderError, UsageError
from tfgrpo.system.http_server import end
from tfgrpo.system.proxies import excluded, proxy_for, public_proxy
from tfgrpo.tools.providers.base import Site
from tfgrpo.types import Request

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch):
    """Set proxy variables, all others unset."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)

    def put(**given: str) -> None:
        for name, value in given.items():
            monkeypatch.setenv(name, value)

    return put


@pytest.mark.parametrize(
    ("given", "url", "proxy"),
    [
        ({}, "http://h/v1", None),
        ({"HTTP_PROXY": "http://p:3128"}, "http://h/v1", "http://p:3128"),
        ({"http_proxy": "p:3128"}, "http://h/v1", "http://p:3128"),
        ({"HTTPS_PROXY": "http://p:3128"}, "http://h/v1", None),
        ({"HTTPS_PROXY": "http://p:3128"}, "https://h/v1", "http://p:3128"),
        ({"ALL_PROXY": "http://p:3128"}, "https://h/v1", "http://p:3128"),
        ({"ALL_PROXY": "http://[fd00::1]:3128", "NO_PROXY": "other"}, "http://h/v1", "http://[fd00::1]:3128"),
        ({"HTTP_PROXY": "http://p:3128", "NO_PROXY": "h"}, "http://h/v1", None),
        ({"HTTP_PROXY": "http://p:3128", "no_proxy": "::1/128"}, "http://[::1]:8000/v1", None),
    ],
)
def test_the_variables_name_the_proxy(variables, given, url, proxy):
    """Either case, with a scheme or without, by scheme of the address or for all."""
    variables(**given)
    assert proxy_for(url) == proxy


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "direct"),
    [
        ("*", "a.example", 80, True),
        ("example.com", "example.com", 80, True),
        ("example.com", "a.example.com", 443, True),
        (".example.com", "a.example.com", 443, True),
        ("*.example.com", "a.example.com", 443, True),
        ("example.com", "badexample.com", 443, False),
        ("localhost,127.0.0.1,::1/128", "127.0.0.1", 80, True),
        ("localhost,127.0.0.1,::1/128", "::1", 80, True),
        ("localhost,127.0.0.1,::1/128", "10.0.0.1", 80, False),
        ("10.0.0.0/8 192.168.0.0/16", "192.168.7.9", 80, True),
        ("10.0.0.0/8", "11.0.0.1", 80, False),
        ("10.0.0.0/8", "::ffff:10.1.1.1", 80, True),
        ("[fd00::]/8", "fd12::1", 80, True),
        ("[::1]:8000", "::1", 8000, True),
        ("[::1]:8000", "::1", 9000, False),
        ("example.com:8080", "example.com", 8080, True),
        ("example.com:8080", "example.com", 80, False),
        ("EXAMPLE.com", "Example.COM.", 80, True),
        ("10.0.0.0/99, /8, ,:,[", "10.0.0.1", 80, False),
        ("", "a.example", 80, False),
    ],
)
def test_no_proxy_in_every_form(no_proxy, host, port, direct):
    """Names with all below them, ports, addresses, networks; what cannot be read excludes nothing."""
    assert excluded(host, port, no_proxy) is direct


def test_a_proxy_of_another_kind_is_refused_with_a_sentence(variables):
    """SOCKS is not spoken; the login of the proxy is in no message."""
    variables(ALL_PROXY="socks5://user:password@p:1080")
    with pytest.raises(UsageError, match=r"the proxy socks5://p:1080 of the environment is not HTTP") as caught:
        proxy_for("http://h/v1")
    assert "password" not in str(caught.value)
    assert public_proxy("http://user:password@p:1080/x") == "http://p:1080"


async def test_messages_name_the_proxy_that_they_went_through(variables):
    """Model calls, scoring and searches alike, without its login."""
    variables(HTTP_PROXY="http://user:password@127.0.0.1:9", NO_PROXY="::1/128")
    asked = Request("rollout", "m", ({"role": "user", "content": "x"},))
    backend, scores = OpenAI("http://10.9.9.9/v1"), HttpScores("http://10.9.9.9/v1")
    said = []
    for call in (
        backend.complete(asked),
        scores.complete(Request("score", "m", asked.messages, forced_ids=(1,))),
        Site("search", "http://10.9.9.9/search").get({"q": "x"}),
    ):
        with pytest.raises(ProviderError) as caught:
            await call
        said.append(str(caught.value))
        assert isinstance(caught.value, EndpointError) or "search" in said[-1]
    await backend.aclose()
    await scores.aclose()
    assert all("through the proxy http://127.0.0.1:9" in words for words in said)
    assert not any("password" in words for words in said)


async def test_a_request_goes_through_the_proxy_or_past_it(variables):
    """The proxy sees the whole address; a host that is excluded is asked itself."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.raw_path)
        return web.Response(text="ok")

    server = web.Server(handle)  # type: ignore[arg-type]
    runner = web.ServerRunner(server)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    variables(HTTP_PROXY=f"127.0.0.1:{port}", NO_PROXY="127.0.0.0/8")
    client = Http()
    await client.send("GET", "http://somewhere.invalid/a?b=1")
    await client.send("GET", f"http://127.0.0.1:{port}/direct")
    await client.aclose()
    await end(runner)
    assert seen == ["http://somewhere.invalid/a?b=1", "/direct"]
    with pytest.raises((NotDelivered, asyncio.TimeoutError)):
        await client.send("GET", "http://somewhere.invalid/a")
    await client.aclose()
