"""The words of vendors: settings they refuse, statuses they answer with, waits they ask for, sizes and redirects."""

from __future__ import annotations

import errno
import gzip
import json
import zlib
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web
from support.server import Raw, Server, error

from tfgrpo.backends import OpenAI, with_wrappers
from tfgrpo.backends.capabilities import Dialect, SchemaMode
from tfgrpo.backends.error_bodies import parse_error_body, retry_after_in
from tfgrpo.backends.faults import Where, connection_error, from_status, retry_after
from tfgrpo.backends.http import Http, TooLarge
from tfgrpo.backends.retry_policy import Crowded, RetryPolicy, Transient
from tfgrpo.backends.wire import without_system
from tfgrpo.errors import EndpointError, ProviderError
from tfgrpo.system.http_server import end
from tfgrpo.types import FailureKind, Message, Request, Sampling

NO_WAIT = RetryPolicy(attempts=3, wait_initial=0, wait_max=0, jitter=0)
SYSTEM: Message = {"role": "system", "content": "Be brief."}
USER: Message = {"role": "user", "content": "2+2?"}
ALL = {
    "messages": [SYSTEM, USER], "temperature": 0.7, "top_p": 0.9, "seed": 1, "stop": ["X"], "max_tokens": 9,
    "return_token_ids": True,
}  # fmt: skip
SETTINGS: list[tuple[str, str, dict[str, Any]]] = [
    ("OpenAI", "temperature", {"message": "Unsupported value: 'temperature' does not support 0.7 with this model. Only "
     "the default (1) value is supported.", "param": "temperature", "code": "unsupported_value"}),
    ("OpenAI", "max_completion_tokens", {"message": "Unsupported parameter: 'max_tokens' is not supported with this "
     "model. Use 'max_completion_tokens' instead.", "param": "max_tokens", "code": "unsupported_parameter"}),
    ("OpenAI", "stop", {"message": "Unsupported parameter: 'stop' is not supported with this model.", "param": "stop"}),
    ("OpenAI o1", "system", {"message": "Unsupported value: 'messages[0].role' does not support 'system' with this "
     "model.", "param": "messages[0].role", "code": "unsupported_value"}),
    ("Azure", "top_p", {"message": "Unsupported parameter: 'top_p' is not supported with this model.", "code": None}),
    ("Anthropic", "top_p", {"message": "`temperature` and `top_p` cannot both be specified for this model. Please use "
     "only one.", "type": "invalid_request_error"}),
    ("Bedrock", "top_p", {"message": "The model returned the following errors: `temperature` and `top_p` cannot both "
     "be specified for this model."}),
    ("Moonshot", "temperature", {"message": "invalid temperature: only 1 is allowed for this model"}),
    ("Moonshot", "top_p", {"message": "invalid top_p: only 0.95 is allowed for this model"}),
    ("Google", "seed", {"message": 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'}),
    ("Google Gemma", "system", {"message": "Developer instruction is not enabled for models/gemma-3-27b-it"}),
    ("Mistral", "seed", {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
     "msg": "Extra inputs are not permitted", "input": 1}]}),
    ("Groq", "seed", {"message": "property 'seed' is unsupported", "type": "invalid_request_error"}),
    ("Cohere", "top_p", {"message": "unrecognized field: top_p is not a valid parameter"}),
    ("xAI", "stop", {"message": "Argument not supported on this model: stop", "code": "invalid-argument"}),
    ("Perplexity", "stop", {"message": "Invalid parameter: stop sequences are not supported"}),
    ("Cerebras", "seed", {"message": "Unknown parameter: seed", "param": "seed", "code": "unknown_parameter"}),
    ("DeepSeek", "temperature", {"message": "deepseek-reasoner does not support the parameter temperature"}),
    ("Together", "seed", {"message": "Input validation error: unexpected field seed"}),
    ("Fireworks", "return_token_ids", {"message": "Extra inputs are not permitted, field: 'return_token_ids'"}),
    ("vLLM", "return_token_ids", {"message": "[{'type': 'extra_forbidden', 'loc': ('body', 'return_token_ids')}]"}),
    ("vLLM Gemma", "system", {"message": "System role not supported"}),
    ("vLLM Mistral", "system", {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}),
    ("TGI", "top_p", {"message": "unknown variant `top_p`"}),
    ("SambaNova", "seed", {"message": "seed: None is not an allowed value", "param": "seed", "code": "unsupported"}),
    ("Ollama", "seed", {"message": "json: unknown field \"seed\""}),
    ("NVIDIA NIM", "stop", {"message": "Validation: Unsupported parameter(s): `stop`", "type": "BadRequest"}),
    ("DashScope", "temperature", {"message": "<400> InternalError.Algo.InvalidParameter: temperature is not supported",
     "code": "invalid_parameter_error"}),
    ("Zhipu", "seed", {"message": "the parameter seed is not allowed", "code": "1210"}),
    ("OpenRouter", "top_p", {"message": "Provider returned error", "code": 400,
     "metadata": {"raw": "top_p is not supported"}, "param": "top_p", "type": "unsupported_parameter"}),
]  # fmt: skip


@pytest.mark.parametrize(("vendor", "setting", "said"), SETTINGS, ids=[f"{v}-{s}" for v, s, _ in SETTINGS])
def test_a_refused_setting_is_known_by_field_code_or_sense(vendor, setting, said):
    """What a vendor refuses is left out, renamed or moved; nothing else is."""
    dialect, body = Dialect(), {"error": said} if "detail" not in said else said
    assert dialect.learn(ALL, parse_error_body(json.dumps(body))) != "", vendor
    changed = {
        *dialect.dropped,
        *(["max_completion_tokens"] if dialect.limit_name != "max_tokens" else []),
        *(["system"] if dialect.system_in_user else []),
    }
    assert changed == {setting}


@pytest.mark.parametrize(
    "said",
    [
        "temperature must be between 0 and 2",
        "This model's maximum context length is 8192 tokens; seed was not changed",
        "max_tokens is too large: 9000. This model supports at most 4096 completion tokens",
        "Invalid API key",
        "The image could not be read",
        "top_p must be in (0, 1], got 1.5",
    ],
)
def test_a_wrong_value_or_another_fault_is_no_refused_setting(said):
    """A value that is out of range is the user's to mend; what says nothing of a setting changes none."""
    assert Dialect().learn(ALL, parse_error_body(json.dumps({"error": {"message": said}}))) == ""


def test_what_is_for_the_system_goes_into_the_user_turn():
    """In front of the first question; a conversation without one gets a turn of its own."""
    assert without_system([SYSTEM, USER]) == [{"role": "user", "content": "Be brief.\n\n2+2?"}]
    assert without_system([SYSTEM]) == [{"role": "user", "content": "Be brief."}]
    assert without_system([USER]) == [USER]


async def test_a_schema_that_an_engine_answers_with_500_goes_down_the_ladder(server: Server):
    """One server error may pass; the second in the same form is a refusal, and costs no try."""
    server.reply = lambda body: error(500, "engine died") if "response_format" in body else "{}"
    bare = OpenAI(server.url)
    backend = with_wrappers(bare, policy=NO_WAIT)
    asked = Request("summarize", "m", (USER,), response_schema={"type": "object", "properties": {}})
    assert (await backend.complete(asked)).text == "{}"
    assert bare.dialects["m"].schema_mode is SchemaMode.PROMPT
    await bare.aclose()


STATUSES: list[tuple[int, str, type[ProviderError], FailureKind]] = [
    (403, "This model requires moderation. Your input was flagged.", ProviderError, FailureKind.REFUSED_REQUEST),
    (400, "The response was filtered due to the prompt triggering content management policy", ProviderError,
     FailureKind.REFUSED_REQUEST),
    (403, "not for you", EndpointError, FailureKind.REFUSED_REQUEST),
    (401, "Incorrect API key", EndpointError, FailureKind.REFUSED_REQUEST),
    (402, "insufficient credits", EndpointError, FailureKind.REFUSED_REQUEST),
    (404, "no such model", EndpointError, FailureKind.REFUSED_REQUEST),
    (408, "too slow", Transient, FailureKind.TIMEOUT),
    (409, "busy", Transient, FailureKind.PROVIDER),
    (413, "Request too large for model: Limit 6000, Requested 7000", ProviderError, FailureKind.REFUSED_REQUEST),
    (422, "wrong", ProviderError, FailureKind.REFUSED_REQUEST),
    (424, "Request failed during generation", Transient, FailureKind.PROVIDER),
    (425, "too early", Transient, FailureKind.PROVIDER),
    (429, "slow down", Transient, FailureKind.RATE_LIMITED),
    (429, "You exceeded your current quota: insufficient_quota", EndpointError, FailureKind.REFUSED_REQUEST),
    (498, "Flex tier capacity exceeded", Transient, FailureKind.RATE_LIMITED),
    (499, "client closed", Transient, FailureKind.PROVIDER),
    (500, "engine died", Transient, FailureKind.PROVIDER),
    (501, "not implemented", ProviderError, FailureKind.REFUSED_REQUEST),
    (503, "overloaded", Transient, FailureKind.PROVIDER),
    (504, "gateway", Transient, FailureKind.TIMEOUT),
    (529, "overloaded", Transient, FailureKind.PROVIDER),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said", "kind", "failure"), STATUSES)
def test_a_status_means_what_it_says(status, said, kind, failure):
    """It may pass, it is this prompt's failure, or the endpoint is of no use."""
    found = from_status(Where("http://h/v1", "m"), status, json.dumps({"error": {"message": said}}))
    assert type(found) is kind
    assert (found.failure.kind, found.status) == (failure, status)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ('{"error": {"message": "Rate limit reached. Please try again in 20s."}}', 20.0),
        ('{"error": {"message": "Please try again in 1m30.5s. Visit https://x"}}', 90.5),
        ('{"error": {"message": "try again in 850ms"}}', 0.85),
        ('{"error": {"message": "Retry after 30 seconds"}}', 30.0),
        ('{"error": {"details": [{"@type": "RetryInfo", "retryDelay": "27.5s"}]}}', 27.5),
        ('{"error": {"metadata": {"retry_after": 3}}}', 3.0),
        ('[{"error": {"details": [{"retryDelay": {"seconds": "3", "nanos": 500000000}}]}}]', 3.5),
        ('{"error": "Model m is currently loading", "estimated_time": 20.5}', 20.5),
        ('{"title": "Too many", "retry_after": "30"}', 30.0),
        ('{"message": "Too many", "retryAfterSeconds": 12}', 12.0),
        ('{"error": {"retry-after": 14}}', 14.0),
        ('{"error": {"retryAfterMs": 1500}}', 1.5),
        ('{"detail": {"msg": "busy", "retry_after_seconds": 4}}', 4.0),
        ('{"errors": [{"message": "slow", "retry_after": 6}]}', 6.0),
        ('{"error": {"message": "x", "metadata": {"headers": {"Retry-After": "17"}}}}', 17.0),
        ('{"error": {"message": "x", "metadata": {"raw": "please try again in 9s"}}}', 9.0),
        ('{"error": {"message": "Please wait 35 seconds before retrying."}}', 35.0),
        ('{"detail": "Request was throttled. Expected available in 41 seconds."}', 41.0),
        ('{"error": {"message": "your limit resets in ~12s"}}', 12.0),
        ('{"error": {"message": "Back off for 10 seconds"}}', 10.0),
        ('{"error": {"message": "Retry-After: 14"}}', 14.0),
        ('{"error": {"message": "try again in 20"}}', 20.0),
        ('{"error": {"message": "Try again in 1 hour 5 minutes"}}', 3900.0),
        ('{"error": {"message": "请在 5 秒后重试"}}', 5.0),
        ('{"error": {"message": "x", "retry_after": -5}}', None),
        ('{"error": {"message": "x", "retry_after": true}}', None),
        ('{"error": {"message": "x", "retry_after": 1e300}}', None),
        ('{"error": {"message": "You waited 5 minutes; no retries left in version 3"}}', None),
        ('{"error": {"message": "try again later"}}', None),
        ("<html>wait 5 minutes</html>", 300.0),
        ("", None),
    ],
)
def test_a_wait_told_in_the_body_is_heeded(body, seconds):
    """In words or in a field, in any unit."""
    found = from_status(Where("http://h/v1", "m"), 429, body)
    assert isinstance(found, Transient)
    assert found.retry_after == seconds
    assert retry_after_in("nothing of the sort") is None


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Mon, 01 Jan 2001 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        *(({"retry-after": said}, None) for said in ("inf", "nan", "1e400", "soon", "", "5, 10")),
        ({"retry-after": "Fri, 31 Dec 99999 23:59:59 GMT"}, None),
        ({"retry-after": "1 Jan 999999999999999999 00:00:00"}, None),
    ],
)
def test_a_wait_told_in_a_header_is_a_number_or_a_date_or_nothing(headers, seconds):
    """No header, whatever stands in it, is an error of ours."""
    assert retry_after(headers) == seconds


@pytest.mark.parametrize("status", [401, 403, 404])
async def test_one_refusal_among_answered_calls_is_tried_again(server: Server, status):
    """The first call of all ends the run; later a refusal may be a moment's fault, and ends it only when it stays."""
    bare = OpenAI(server.url)
    backend = with_wrappers(bare, policy=NO_WAIT)
    asked = Request("rollout", "m", (USER,))
    await backend.complete(asked)
    answers = iter([error(status, "no")])
    server.reply = lambda body: next(answers, "4")
    assert (await backend.complete(asked)).text == "4"
    server.reply = lambda body: error(status, "no")
    with pytest.raises(EndpointError, match="tried 3 times"):
        await backend.complete(asked)
    await bare.aclose()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EADDRNOTAVAIL])
def test_a_connection_that_this_machine_has_no_room_for_says_nothing_of_the_endpoint(number):
    """It is a moment's fault of this side, and the words say what to do."""
    found = connection_error(Where("http://h/v1", "m"), OSError(number, "no"))
    assert type(found) is Crowded
    assert "lower --concurrency" in str(found)


async def test_a_filtered_reply_is_asked_for_once_more_with_another_seed(server: Server):
    """Not six times with the same one: the endpoint would say the same again."""
    refused = {"choices": [{"message": {"content": ""}, "finish_reason": "content_filter"}]}
    server.reply = lambda body: refused
    bare = OpenAI(server.url)
    with pytest.raises(ProviderError, match="took its reply back"):
        await with_wrappers(bare, policy=NO_WAIT).complete(Request("rollout", "m", (USER,), Sampling(seed=5)))
    assert [body["seed"] == 5 for body in server.bodies] == [True, False]
    await bare.aclose()


async def test_reasoning_without_an_answer_gets_more_room_once(server: Server):
    """The second try has twice the limit."""
    thought = {"choices": [{"message": {"content": None, "reasoning_content": "hm"}, "finish_reason": "stop"}]}
    server.reply = lambda body: thought if body["max_tokens"] == 50 else "4"
    bare = OpenAI(server.url)
    asked = Request("rollout", "m", (USER,), Sampling(max_tokens=50))
    assert (await with_wrappers(bare, policy=NO_WAIT).complete(asked)).text == "4"
    assert [body["max_tokens"] for body in server.bodies] == [50, 100]
    await bare.aclose()


async def served(handle: Any) -> tuple[web.AppRunner, str]:
    """Open a server that answers any path with `handle`; returns it and its address."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@pytest.mark.parametrize("form", ["plain", "gzip", "deflate", "endless"])
async def test_a_body_is_read_up_to_its_limit(form):
    """As sent and as unpacked: ten megabytes of zeros are ten kilobytes on the way."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if form == "endless":
            response = web.StreamResponse()
            await response.prepare(request)
            with suppress(ConnectionError):
                while True:
                    await response.write(b" " * 65536)
            return response
        data = b" " * 10_000_000
        packed = {"plain": data, "gzip": gzip.compress(data), "deflate": zlib.compress(data)}[form]
        headers = {} if form == "plain" else {"Content-Encoding": form}
        return web.Response(body=packed, headers=headers)

    runner, url = await served(handle)
    client = Http(most=1_000_000)
    with pytest.raises(TooLarge, match="1,000,000 bytes"):
        await client.send("GET", url)
    await client.aclose()
    await end(runner)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_a_compressed_body_within_the_limit_is_read(encoding):
    """What was asked for is understood."""
    data = json.dumps({"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]}).encode()
    packed = {"gzip": gzip.compress(data), "deflate": zlib.compress(data), "identity": data}[encoding]

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=packed, headers={"Content-Encoding": encoding})

    runner, url = await served(handle)
    backend = OpenAI(f"{url}/v1")
    assert (await backend.complete(Request("rollout", "m", (USER,)))).text == "4"
    await backend.aclose()
    await end(runner)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_another_host_is_refused_with_a_sentence(status):
    """The prompt and the key go where they were sent, or nowhere; within the host they follow."""
    seen: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        seen.append(request.path)
        if request.path.startswith("/away"):
            return web.Response(
                status=status, headers={"Location": "http://localhost:9/v1/chat/completions?key=secretkey"}
            )
        if request.path.startswith("/old"):
            return web.Response(status=status, headers={"Location": "/new/chat/completions"})
        return web.json_response({"choices": [{"message": {"content": "4"}, "finish_reason": "stop"}]})

    runner, url = await served(handle)
    within, away = OpenAI(f"{url}/old"), OpenAI(f"{url}/away", "sk-0123456789")
    asked = Request("rollout", "m", (USER,))
    assert (await within.complete(asked)).text == "4"
    with pytest.raises(EndpointError, match=r"redirects \(30\d\) to localhost:9, which is not followed") as caught:
        await away.complete(asked)
    assert "secretkey" not in str(caught.value)
    assert seen == ["/old/chat/completions", "/new/chat/completions", "/away/chat/completions"]
    await within.aclose()
    await away.aclose()
    await end(runner)


def test_an_error_page_is_quoted_without_its_markup():
    """Half a megabyte of brackets costs no time either."""
    assert parse_error_body("<html><h1>Bad  gateway</h1></html>").said.split() == ["Bad", "gateway"]
    assert len(parse_error_body("<" * 500_000).said) <= 100_000


def test_raw_bodies_of_refusals_need_no_form():
    """A list with one error, a text, a number: each has words."""
    for body in ('[{"error": {"message": "no"}}]', '"no"', '{"error": "no"}', '{"message": "no"}', "no"):
        assert parse_error_body(body).said == "no"
    assert Raw(400, "7").body == parse_error_body("7").said


@pytest.mark.parametrize("status", [405, 501])
async def test_something_that_takes_no_calls_is_no_endpoint(server: Server, status: int):
    """A web server at the address, say: the first answer ends the run in a sentence; once answered it is this call."""
    backend = OpenAI(server.url, "none")
    server.reply = lambda body: Raw(status, "<h1>Unsupported method ('POST')</h1>")
    with pytest.raises(EndpointError, match="nothing there takes model calls; check that the base URL ends where"):
        await with_wrappers(backend, policy=NO_WAIT).complete(Request("rollout", "m", (USER,)))
    assert server.chats == 1
    server.reply = lambda body: "4"
    await backend.complete(Request("rollout", "m", (USER,)))
    server.reply = lambda body: error(status, "not implemented")
    with pytest.raises(ProviderError) as raised:
        await backend.complete(Request("rollout", "m", (USER,)))
    assert type(raised.value) is ProviderError
    await backend.aclose()
