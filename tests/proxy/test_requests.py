"""Where lessons go in each protocol, as pure functions."""

import pytest
from multidict import CIMultiDict

from experience_db import Lesson, Library
from experience_db.retrieval import by_name
from tfgrpo.proxy.requests import protocol, with_lessons
from tfgrpo.proxy.server import Settings, forwarded_headers, is_authorized, stays_below, target

LIBRARY = Library("algebra", 3, (Lesson(1, "When signs differ, subtract.", 1, 1),), template="{{ lessons[0].text }}")
BLOCK = "When signs differ, subtract."


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "chat"),
        ("/openai/deployments/x/chat/completions", "chat"),
        ("/v1/responses", "responses"),
        ("/v1/completions", "completions"),
        ("/v1/messages", "anthropic"),
        ("/v1/messages/count_tokens", "anthropic"),
        ("/v1/embeddings", None),
        ("/v1/models", None),
        ("/v1/responses/resp_1/cancel", None),
        ("/", None),
    ],
)
def test_a_path_says_whether_it_carries_a_prompt(path, kind):
    """Only paths that ask a model for text get lessons."""
    assert protocol(path) == kind


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("chat", {"messages": [{"role": "user", "content": "q"}], "x": 1},
         {"messages": [{"role": "system", "content": BLOCK}, {"role": "user", "content": "q"}], "x": 1}),
        ("responses", {"input": "q"}, {"input": "q", "instructions": BLOCK}),
        ("responses", {"input": "q", "instructions": "Be."}, {"input": "q", "instructions": f"Be.\n\n{BLOCK}"}),
        ("responses", {"input": [{"role": "developer", "content": [{"type": "input_text", "text": "a"}]}]},
         {"input": [{"role": "developer",
                     "content": [{"type": "input_text", "text": "a"},
                                {"type": "input_text", "text": f"\n\n{BLOCK}"}]}]}),
        ("completions", {"prompt": ["a", "b"]}, {"prompt": [f"{BLOCK}\n\na", f"{BLOCK}\n\nb"]}),
        ("anthropic", {"messages": []}, {"messages": [], "system": BLOCK}),
        ("anthropic", {"system": [{"type": "text", "text": "a", "cache_control": {}}]},
         {"system": [{"type": "text", "text": "a", "cache_control": {}}, {"type": "text", "text": f"\n\n{BLOCK}"}]}),
    ],
)  # fmt: skip
def test_lessons_go_where_the_protocol_has_its_instructions(kind, body, expected):
    """Each protocol gets the block in its own shape, and every other field stays as it was."""
    assert with_lessons(kind, body, LIBRARY) == expected


@pytest.mark.parametrize(
    ("kind", "body"),
    [("completions", {"prompt": [1, 2]}), ("chat", {"messages": "q"}), ("anthropic", {"system": 3}), ("chat", {})],
)
def test_a_body_without_room_for_text_stays(kind, body):
    """What the proxy cannot read is left to the upstream to judge."""
    assert with_lessons(kind, body, LIBRARY) is None


@pytest.mark.parametrize(
    ("upstream", "path", "url"),
    [
        ("http://h/v1", "/v1/chat/completions", "http://h/v1/chat/completions"),
        ("http://h", "/v1/chat/completions?a=%2F", "http://h/v1/chat/completions?a=%2F"),
        ("http://h/v1/", "/models", "http://h/v1/models"),
        ("http://h/api/v1", "/v1", "http://h/api/v1"),
        ("http://h/v1", "/v10/x", "http://h/v1/v10/x"),
    ],
)
def test_v1_is_named_once(upstream, path, url):
    """It does not matter on which side the version stands."""
    assert target(upstream, path) == url


def test_headers_of_one_connection_stay_on_it():
    """Hop-by-hop headers, those that Connection names, and ours are not passed on."""
    given = {"Connection": "keep-alive, X-Own", "X-Own": "1", "Host": "a", "x-tfgrpo-library": "b", "OpenAI-Beta": "c"}
    assert forwarded_headers(given, Settings("http://h"), changed=False) == [("OpenAI-Beta", "c")]


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"Authorization": "Bearer ours"}, [("Authorization", "Bearer theirs")]),
        ({"x-api-key": "ours"}, [("x-api-key", "theirs")]),
    ],
)
def test_the_token_of_the_proxy_never_goes_on(given, sent):
    """Where the proxy asks for a token, the upstream's key takes its place, in the style of the client."""
    settings = Settings("http://h", token="ours", upstream_key="theirs")
    assert is_authorized(given, settings.token)
    assert forwarded_headers(given, settings, changed=False) == sent
    assert not is_authorized({"Authorization": "Bearer other"}, "ours")
    assert not is_authorized({}, "ours")


@pytest.mark.parametrize(
    "path",
    ["pany://x/v1", "http://elsewhere.example/", "*", "elsewhere:443", "", "/v1/../admin", "/v1/%2e%2E/x", "/a\\..\\b"],
)
def test_a_target_cannot_leave_the_upstream(path):
    """A whole URL would lengthen the upstream's host name, and its key go there; `..` would leave its path."""
    assert not stays_below(path)


def test_usual_targets_stay_below():
    """Dots within a name and an address in a query are nobody's way out."""
    assert stays_below("/v1/models/a..b?next=../x&url=http://y")


def test_a_packed_length_is_not_promised_for_an_unpacked_body():
    """What aiohttp has unpacked is longer than the client said; headers of the connection are named in any line."""
    given = CIMultiDict([("Content-Length", "9"), ("Content-Encoding", "zstd"), ("X-A", "1"), ("Accept", "x"),
                         ("Connection", "keep-alive"), ("Connection", "x-a")])  # fmt: skip
    assert forwarded_headers(given, Settings("http://up"), changed=False) == [("Accept", "x")]


def test_a_token_that_is_no_text_is_refused():
    """Bytes that are not UTF-8 arrive as half characters and are compared like any other."""
    assert not is_authorized({"Authorization": "Bearer \udcff"}, "token")


@pytest.mark.parametrize("token", ["", "tok-of-the-proxy"])
def test_a_login_of_the_upstream_takes_the_place_of_the_clients(token):
    """The client's header would be there twice, and the proxy's token goes to the upstream in no header at all."""
    given = {"authorization": "Bearer tok-of-the-proxy", "api-key": "tok-of-the-proxy", "Accept": "x"}
    got = dict(
        forwarded_headers(given, Settings("http://me:password@up/v1", token, "sk" if token else ""), changed=True)
    )
    assert "authorization" not in {name.lower() for name in got}
    assert not token or got == {"Accept": "x", "x-api-key": "sk"}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("chat", {"messages": [{"role": "user", "content": "a triangle"}]}),
        ("anthropic", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a triangle"}]}]}),
        ("responses", {"input": "a triangle"}),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a triangle"}]}]}),
        ("completions", {"prompt": "a triangle"}),
        ("completions", {"prompt": ["a triangle"]}),
    ],
)
def test_a_retrieval_looks_at_what_the_user_said_last(kind, body):
    """In every protocol the lessons that suit the question go in, and the others stay out."""
    lessons = (Lesson(1, "Mind the loop", 1, 1), Lesson(2, "Draw the triangle", 1, 1))
    told = str(with_lessons(kind, body, Library("x", 1, lessons, retrieval=by_name("fts"))))
    assert "Draw the triangle" in told
    assert "Mind the loop" not in told
