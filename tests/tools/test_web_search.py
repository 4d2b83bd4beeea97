"""`web_search`: every provider asked as it documents, and everything that can go wrong as a typed value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from support.web import Answer, Asked, Web

from tfgrpo import corpus
from tfgrpo.backends.adaptive_rate import Pace
from tfgrpo.backends.retry_policy import RetryPolicy
from tfgrpo.corpus import Page
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.tools.base import ToolResult
from tfgrpo.tools.providers import PROVIDERS, provider_for
from tfgrpo.tools.providers.own import Ddgs
from tfgrpo.tools.web_search import WebSearch, make
from tfgrpo.types import FailureKind

KEY = "sk-marked-0123456789"
VARIABLES = {"serper": "SERPER_API_KEY", "tavily": "TAVILY_API_KEY", "brave": "BRAVE_API_KEY"}
ONCE = RetryPolicy(attempts=1)

# Answers in the documented forms, shortened; what we do not read is left in.
RECORDED: Mapping[str, Any] = {
    "serper": {
        "searchParameters": {"q": "apple", "type": "search", "engine": "google"},
        "knowledgeGraph": {"title": "Apple", "type": "Company"},
        "organic": [
            {"title": "Apple", "link": "https://apple.example/", "snippet": "Discover the world.", "position": 1},
            {"title": "Apples", "link": "https://fruit.example/", "snippet": "A fruit.", "date": "2024", "position": 2},
        ],
        "relatedSearches": [{"query": "apple id"}],
        "credits": 1,
    },
    "tavily": {
        "query": "apple",
        "answer": None,
        "images": [],
        "results": [
            {"title": "Apple", "url": "https://apple.example/", "content": "Discover the world.", "score": 0.9},
            {"title": "Apples", "url": "https://fruit.example/", "content": "A fruit.", "score": 0.5},
        ],
        "response_time": 1.1,
        "request_id": "r",
    },
    "brave": {
        "type": "search",
        "query": {"original": "apple", "more_results_available": True},
        "mixed": {"type": "mixed", "main": [{"type": "web", "index": 0}]},
        "web": {
            "type": "search",
            "results": [
                {
                    "title": "Apple",
                    "url": "https://apple.example/",
                    "description": "Discover <strong>the</strong> world.",
                    "page_age": "2024-01-01T00:00:00",
                    "meta_url": {"hostname": "apple.example"},
                },
                {"title": "Apples", "url": "https://fruit.example/", "description": "A fruit&#x2E;"},
            ],
        },
    },
    "searxng": {
        "query": "apple",
        "number_of_results": 0,
        "results": [
            {"title": "Apple", "url": "https://apple.example/", "content": "Discover the world.", "engine": "brave"},
            {"title": "Apples", "url": "https://fruit.example/", "content": "A fruit.", "engines": ["brave"]},
        ],
        "answers": [],
        "unresponsive_engines": [["google", "CAPTCHA"]],
    },
    "contract": {
        "results": [
            {"title": "Apple", "url": "https://apple.example/", "snippet": "Discover the world."},
            {"title": "Apples", "url": "https://fruit.example/", "snippet": "A fruit."},
        ]
    },
}
EMPTY: Mapping[str, Any] = {
    "serper": {"searchParameters": {"q": "x"}, "credits": 1},
    "tavily": {"query": "x", "results": []},
    "brave": {"type": "search", "query": {"original": "x"}},
    "searxng": {"query": "x", "results": [], "unresponsive_engines": []},
    "contract": {"results": []},
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set a marked key for every provider that wants one."""
    for known in PROVIDERS.values():
        for name in (*known.keys, known.address):
            monkeypatch.delenv(name or "UNUSED", raising=False)
    for name in VARIABLES.values():
        monkeypatch.setenv(name, KEY)


def tool(name: str, web: Web, *, count: int = 10, policy: RetryPolicy = ONCE, pace: Pace | None = None) -> WebSearch:
    """Return the tool for a provider that answers at `web`."""
    provider, about = provider_for(f"{web.url}/search") if name == "contract" else provider_for(name, web.url)
    return WebSearch(provider, about, count=count, policy=policy, pace=pace)


async def search(name: str, answer: Any, query: str = "apple", **how: Any) -> tuple[ToolResult, list[Asked]]:
    """Search once at a server with this answer."""
    with Web(answer if callable(answer) or isinstance(answer, Answer) else Answer(answer)) as web:
        return await tool(name, web, **how)({"query": query}), web.asked


@pytest.mark.parametrize("name", RECORDED)
async def test_recorded_answers_are_read(name: str):
    """The documented form of each provider becomes the same numbered list."""
    result, _ = await search(name, RECORDED[name])
    assert result.failure is None
    assert result.text == (
        "1. Apple\nhttps://apple.example/\nDiscover the world.\n\n2. Apples\nhttps://fruit.example/\nA fruit."
    )
    assert result.detail["urls"] == ["https://apple.example/", "https://fruit.example/"]


async def test_each_provider_is_asked_as_it_documents():
    """Method, path, names of fields, and the place of the key."""
    sent = {name: (await search(name, RECORDED[name], "red apple", count=7))[1][0] for name in RECORDED}
    assert sent["serper"].method == sent["tavily"].method == "POST"
    assert sent["serper"].json == {"q": "red apple", "num": 7}
    assert sent["serper"].headers["X-API-KEY"] == KEY
    assert sent["tavily"].json == {"query": "red apple", "max_results": 7}
    assert sent["tavily"].headers["Authorization"] == f"Bearer {KEY}"
    assert dict(sent["brave"].query) == {"q": "red apple", "count": "7"}
    assert sent["brave"].headers["X-Subscription-Token"] == KEY
    assert (sent["searxng"].path, dict(sent["searxng"].query)) == ("/search", {"q": "red apple", "format": "json"})
    assert dict(sent["contract"].query) == {"q": "red apple", "k": "7"}


@pytest.mark.parametrize("name", RECORDED)
async def test_count_limits_the_results_and_nothing_found_is_said(name: str):
    """A provider that sends more is cut; no results is an answer, not a failure."""
    assert (await search(name, RECORDED[name], count=1))[0].detail["urls"] == ["https://apple.example/"]
    result, _ = await search(name, EMPTY[name])
    assert result.failure is None
    assert "Nothing was found" in result.text


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize(
    "body", [[1], {"organic": 3, "web": 3, "results": 3}, {"results": [1], "organic": [1], "web": []}]
)
async def test_an_unknown_form_is_malformed(name: str, body: Any):
    """An answer that changed its form is said so, never read as no results."""
    result, _ = await search(name, Answer(body))
    assert result.failure is not None
    assert result.failure.kind is FailureKind.MALFORMED


@pytest.mark.parametrize("name", RECORDED)
async def test_a_rate_limit_is_waited_out(name: str):
    """Retry-After holds the next search, whoever asks, that long."""
    waits: list[float] = []
    clock = [0.0]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        clock[0] += seconds

    answers = [Answer({}, 429, {"Retry-After": "7"}), Answer(RECORDED[name])]
    with Web(lambda _: answers.pop(0)) as web:
        provider = tool(name, web, pace=Pace(4, clock=lambda: clock[0], sleep=sleep))
        refused, answered = await provider({"query": "one"}), await provider({"query": "two"})
    assert refused.failure is not None
    assert refused.failure.kind is FailureKind.RATE_LIMITED
    assert answered.failure is None
    assert waits == [7.0]


async def test_a_refused_search_is_made_again_after_the_wait():
    """The same search goes on by itself once the provider lets it."""
    answers = [Answer({}, 429, {"Retry-After-Ms": "30"}), Answer(RECORDED["serper"])]
    result, asked = await search("serper", lambda _: answers.pop(0), policy=RetryPolicy(attempts=2, jitter=0))
    assert result.failure is None
    assert len(asked) == 2


async def test_braves_windows_tell_how_long_to_wait():
    """Brave sends no Retry-After but the seconds until its shortest window opens."""
    with Web(Answer({"error": {"code": "RATE_LIMITED"}}, 429, {"X-RateLimit-Reset": "1, 1419704"})) as web:
        provider, _ = provider_for("brave", web.url)
        with pytest.raises(Exception, match="429") as caught:
            await provider("x", 3)
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer({"message": "slow down"}, 429), FailureKind.RATE_LIMITED),
        (Answer("<html>bad gateway</html>", 502), FailureKind.PROVIDER),
        (Answer("<html>not json</html>"), FailureKind.PROVIDER),
        (Answer({"message": "bad request"}, 400), FailureKind.REFUSED_REQUEST),
    ],
)
async def test_failures_are_typed_and_counted(answer: Answer, kind: FailureKind):
    """What may pass is tried as often as the policy says, then it is a failure of its kind."""
    policy = RetryPolicy(attempts=3, wait_initial=0, jitter=0)
    result, asked = await search("serper", answer, policy=policy)
    assert result.failure is not None
    assert result.failure.kind is kind
    assert len(asked) == (1 if kind is FailureKind.REFUSED_REQUEST else 3)
    assert "try once more" in result.text


async def test_a_slow_provider_is_a_timeout():
    """No answer in time is a failure of that kind."""
    with Web(Answer({}, delay=5)) as web:
        provider, about = provider_for("serper", web.url, seconds=0.2)
        result = await WebSearch(provider, about, policy=ONCE)({"query": "x"})
    assert result.failure is not None
    assert result.failure.kind is FailureKind.TIMEOUT


async def test_nobody_listening_is_a_failure():
    """A dead address is a provider failure with the provider's name."""
    provider, about = provider_for("serper", "http://127.0.0.1:9/")
    result = await WebSearch(provider, about, policy=ONCE)({"query": "x"})
    assert result.failure is not None
    assert result.failure.kind is FailureKind.PROVIDER
    assert "cannot reach serper" in result.text


@pytest.mark.parametrize(
    ("name", "status", "body"),
    [
        ("serper", 403, {"message": f"Unauthorized. {KEY}", "statusCode": 403}),
        ("serper", 400, {"message": "Not enough credits", "statusCode": 400}),
        ("tavily", 401, {"detail": {"error": f"Unauthorized: invalid key {KEY}."}}),
        ("tavily", 432, {"detail": {"error": "This request exceeds your plan's set usage limit."}}),
        ("brave", 422, {"type": "ErrorResponse", "error": {"code": "SUBSCRIPTION_TOKEN_INVALID", "status": 422}}),
        ("searxng", 403, "<html>403 Forbidden</html>"),
    ],
)
async def test_a_provider_that_refuses_everything_ends_the_run(name: str, status: int, body: Any):
    """A wrong key is no search result that a model could learn from; the key is in no message."""
    with pytest.raises(EndpointError, match=f"{name} answered {status}") as caught:
        await search(name, Answer(body, status))
    assert KEY not in str(caught.value)


async def test_a_metasearch_whose_engines_are_blocked_is_an_outage():
    """Empty results beside engines that did not answer are no answer."""
    result, _ = await search("searxng", {"results": [], "unresponsive_engines": [["google", "CAPTCHA"]]})
    assert result.failure is not None
    assert "CAPTCHA" in result.text


async def test_no_key_is_in_fingerprint_text_detail_or_repr():
    """The key goes to the provider and nowhere else."""
    with Web(lambda asked: Answer({"organic": [{"title": "t", "link": "https://a.example"}]})) as web:
        provider, about = provider_for("serper", web.url)
        one = WebSearch(provider, about, policy=ONCE)
        result = await one({"query": "x"})
    assert KEY not in json.dumps([dict(one.fingerprint), result.text, dict(result.detail)])
    assert KEY not in repr(provider)


async def test_a_url_keeps_its_secrets():
    """Password and query of a search URL are sent, and shown nowhere; two of them still differ."""
    with Web(Answer({}, 500)) as web:
        url = f"http://u:pw@{web.host}/s?token={KEY}"
        provider, about = provider_for(url)
        result = await WebSearch(provider, about, policy=ONCE)({"query": "x"})
        assert web.asked[0].query["token"] == KEY
        assert web.asked[0].query["q"] == "x"
    for shown in (json.dumps(about), result.text, repr(result)):
        assert KEY not in shown
        assert "pw@" not in shown
    assert about != provider_for(f"http://u:pw@{web.host}/s?token=other")[1]


@pytest.mark.parametrize("query", ["", "  ", "x" * 2001])
async def test_an_impossible_query_is_told(query: str):
    """Nothing is sent; the model reads what to do."""
    result, asked = await search("serper", RECORDED["serper"], query)
    assert not asked
    assert result.failure is not None
    assert "give a few words" in result.text


def test_what_is_asked_for_must_exist(monkeypatch: pytest.MonkeyPatch):
    """Unknown names, missing keys and impossible options are told before anything is sent."""
    with pytest.raises(UsageError, match="no provider 'google'; there are serper"):
        make(provider="google")
    with pytest.raises(UsageError, match="SEARXNG_URL"):
        make(provider="searxng")
    with pytest.raises(UsageError, match="count is 0"):
        make(provider="serper", count=0)
    with pytest.raises(UsageError, match="name one as provider"):
        make()
    for name in VARIABLES.values():
        monkeypatch.delenv(name)
    with pytest.raises(UsageError, match="export SERPER_API_KEY"):
        make(provider="serper")
    with pytest.raises(UsageError, match="needs a provider; export one of SERPER_API_KEY"):
        make()
    monkeypatch.setenv("TAVILY_API_KEY", KEY)
    assert make().fingerprint["provider"] == "tavily"


async def test_ddgs_is_read_and_its_errors_are_typed():
    """The package's results and exceptions become ours."""
    exceptions = pytest.importorskip("ddgs.exceptions")
    told: list[Any] = [
        [{"title": "Apple", "href": "https://apple.example/", "body": "Discover."}],
        exceptions.DDGSException("No results found."),
        exceptions.RatelimitException("202"),
        exceptions.TimeoutException("late"),
        exceptions.DDGSException("broken"),
    ]

    def searcher(query: str, count: int) -> list[dict[str, str]]:
        said = told.pop(0)
        if isinstance(said, Exception):
            raise said
        return said

    ddgs = WebSearch(Ddgs(searcher), {"provider": "ddgs"}, policy=ONCE)
    results = [await ddgs({"query": "apple"}) for _ in range(5)]
    kinds = [result.failure and result.failure.kind for result in results]
    assert results[0].text == "1. Apple\nhttps://apple.example/\nDiscover."
    assert kinds == [None, None, FailureKind.RATE_LIMITED, FailureKind.TIMEOUT, FailureKind.PROVIDER]


async def test_the_corpus_server_is_a_provider():
    """A served corpus answers the contract; its identity stands for it wherever it listens."""
    pages = (Page("https://wiki.example/Zurich", "Zürich", "A city on a lake."),)
    with corpus.serving(pages) as url:
        search = make(provider=f"{url}/search", identity="corpus:abc")
        result = await search({"query": "city"})
    assert result.text == "1. Zürich\nhttps://wiki.example/Zurich\nA city on a lake."
    assert search.fingerprint == {"tool": "web_search", "count": 10, "provider": "corpus:abc", "extra": {}}
