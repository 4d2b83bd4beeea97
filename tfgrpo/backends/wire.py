"""The chat-completions format: from a Request to the body that is sent, and from the body that came to a Reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tfgrpo.backends.capabilities import Dialect, drop_keywords, response_format
from tfgrpo.backends.counting import usage_of
from tfgrpo.backends.faults import Where, from_error_in_body
from tfgrpo.backends.n_choices import ChoicesRequest, Outcome, join_choices
from tfgrpo.backends.pricing import Price
from tfgrpo.backends.retry_policy import Redraw, Transient
from tfgrpo.backends.unparsed_tool_calls import has_unparsed_tool_call
from tfgrpo.errors import ProviderError
from tfgrpo.system.untrusted_json import CallIn, ChoiceIn, CompletionIn, Unreadable, read_model
from tfgrpo.types import FailureKind, Message, Reply, Request

MOST_CHARACTERS = 1_000_000
"""Of one reply, unless told otherwise; a longer one meets no parser."""
ENDED = {"stop": "stop", "tool_calls": "tool_calls", "function_call": "tool_calls", "length": "length"}
"""Finish reasons of a reply that counts, and what each is called here. The list is closed: a new word is a failure."""
FILTERED = (
    *("content_filter", "content-filter", "safety", "recitation", "prohibited", "blocklist", "spii", "sensitive"),
    *("moderation", "guardrail", "refusal", "image_safety", "language"),
)
"""Parts of the words for a reply that the endpoint took back for what it says."""

LEFT_CALL = (
    "left a tool call in the text: its parser of tool calls is off or is for another model; start the server with it "
    "(vLLM: --enable-auto-tool-choice --tool-call-parser NAME), or use -s environment.protocol=text"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """How bodies are read."""

    price: Price | None = None
    most_characters: int = MOST_CHARACTERS
    stops: tuple[str, ...] = ()
    """Where replies are cut here, since the endpoint takes no stop words."""


def body_of(request: Request, dialect: Dialect) -> dict[str, Any]:
    """Return the body for `request`, without the model name. What is not set is not sent."""
    sampling = request.sampling
    schema = request.response_schema
    messages = list(request.messages)
    body = {
        "messages": without_system(messages) if dialect.system_in_user else messages,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        dialect.limit_name: dialect.limit(sampling.max_tokens),
        "seed": sampling.seed,
        "stop": list(sampling.stop) or None,
        "tools": list(request.tools) or None,
        "n": request.n if isinstance(request, ChoicesRequest) else None,
        "response_format": None
        if schema is None
        else response_format(drop_keywords(schema, dialect.dropped), dialect.schema_mode),
    }
    return {name: value for name, value in body.items() if value is not None and name not in dialect.dropped}


def without_system(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with what the system said at the head of the first user turn."""
    said = [message.get("content") or "" for message in messages if message.get("role") == "system"]
    others = [message for message in messages if message.get("role") != "system"]
    first = next((i for i, message in enumerate(others) if message.get("role") == "user"), None)
    if not said or first is None:
        alone: Message = {"role": "user", "content": "\n\n".join(said)}
        return [alone, *others] if said else others
    turn = others[first].copy()
    turn["content"] = "\n\n".join([*said, turn.get("content") or ""])
    return [*others[:first], turn, *others[first + 1 :]]


def reply_of(payload: Any, request: Request, where: Where, reading: Reading = Reading()) -> Reply:
    """Return the Reply in a decoded chat-completions body.

    An empty text that was cut at the token limit is a reply: the model spent its tokens elsewhere, and retrying would
    spend them again. Of several choices those that cannot be used leave their failure in their place.

    Raises:
        Transient: no choice can be used; the first one's failure, with the usage of all. A Redraw where the model
            would say the same again.
        ProviderError: another try cannot help.
    """
    try:
        body = CompletionIn.of(payload)
    except Unreadable as error:
        raise Transient(f"{where} answered with {error}", status=200) from None
    if body.error and not body.choices:
        raise _billed(from_error_in_body(where, body.error), body, request, reading)
    wanted = request.n if isinstance(request, ChoicesRequest) else 1
    outcomes = [_outcome(choice, request, where, reading) for choice in body.choices[:wanted]]
    if not outcomes:
        empty = Transient(f"{where} answered without any choice", FailureKind.EMPTY, status=200)
        raise _billed(empty, body, request, reading)
    replies = [one for one in outcomes if isinstance(one, Reply)]
    usage = usage_of(body.usage, reading.price, request, replies)
    failed = next((one for one in outcomes if isinstance(one, ProviderError)), None)
    if not replies and failed is not None:
        failed.usage = usage
        raise failed
    return replace(replies[0], usage=usage) if wanted == 1 else join_choices(outcomes, usage)


def _billed(error: ProviderError, body: CompletionIn, request: Request, reading: Reading) -> ProviderError:
    """Give an error the usage that came with it, where some did."""
    if body.usage is not None:
        error.usage = usage_of(body.usage, reading.price, request, ())
    return error


def _outcome(value: Any, request: Request, where: Where, reading: Reading) -> Outcome:
    """One choice as a reply, or why it is none."""
    try:
        choice = read_model(ChoiceIn, value)
    except Unreadable as error:
        return Transient(f"{where} answered with a choice that cannot be read ({error})", status=200)
    if choice.error:
        return from_error_in_body(where, choice.error)
    reply = _reply_of(choice, request)
    return _why_not(reply, choice, request, where, reading) or _cut(reply, reading.stops)


def _why_not(reply: Reply, choice: ChoiceIn, request: Request, where: Where, reading: Reading) -> ProviderError | None:
    """Why a choice cannot be used; None where it can."""
    said = reply.text.strip() or reply.tool_calls
    found: ProviderError | None = None
    # An empty message is that first: servers that give nothing often do not say either how it ended.
    if reply.finish_reason not in {*ENDED.values(), "refusal"} and (said or choice.finish_reason):
        found = _broken_off(reply, where.quote(str(choice.finish_reason)[:60]), where)
    elif len(reply.text) + len(reply.reasoning or "") > reading.most_characters:
        words = f"{where} answered with more than {reading.most_characters:,} characters"
        found = ProviderError(words, FailureKind.TRUNCATED, status=200)
    elif not said and reply.finish_reason != "length":
        words = f"{where} answered with an empty message (finish reason {choice.finish_reason})"
        if reply.reasoning:
            found = Redraw(f"{words}: there is reasoning and no answer", FailureKind.EMPTY, status=200)
        else:
            found = Transient(words, FailureKind.EMPTY, status=200)
    elif request.tools and not reply.tool_calls and has_unparsed_tool_call(reply.text, request.tools):
        found = ProviderError(f"{where} {LEFT_CALL}", FailureKind.MALFORMED, status=200)
    return found


def _broken_off(reply: Reply, reason: str, where: Where) -> ProviderError:
    """The failure of a reply that ended in no way that counts."""
    if any(word in reason.lower() for word in FILTERED):
        words = f"{where} took its reply back (finish reason {reason})"
        return Redraw(words, FailureKind.REFUSED_REQUEST, status=200)
    words = f"{where} broke its reply off (finish reason {reason}); {len(reply.text)} characters came"
    return Transient(words, status=200)


def _reply_of(choice: ChoiceIn, request: Request) -> Reply:
    message = choice.message
    refused = bool(message.refusal and not message.content)
    reason = choice.finish_reason if choice.said_how_it_ended else "stop"
    ended = ENDED.get(reason.strip().lower(), reason) if isinstance(reason, str) else str(reason)
    calls = message.tool_calls
    if not calls and message.function_call and message.function_call.name:
        calls = [CallIn(function=message.function_call)]
    return Reply(
        text=message.content or message.refusal or "",
        finish_reason="refusal" if refused and ended == "stop" else ended,
        reasoning=message.reasoning_content or message.reasoning,
        tool_calls=unique_calls(calls, request.messages),
        token_ids=choice.token_ids,
    )


def _cut(reply: Reply, stops: Sequence[str]) -> Reply:
    """End a text where a stop word begins; its tokens no longer spell it then."""
    ends = [at for stop in stops if (at := reply.text.find(stop)) >= 0]
    return replace(reply, text=reply.text[: min(ends)], token_ids=None) if ends else reply


def unique_calls(calls: Sequence[CallIn], before: Sequence[Message]) -> tuple[Mapping[str, Any], ...]:
    """Return tool calls whose ids differ from each other and from those already in the conversation.

    Servers repeat ids (`call_0` in every turn) or leave them out; results could then not be told apart.
    """
    taken = {call.get("id") for message in before for call in message.get("tool_calls") or ()}
    unique = []
    # Counted for each name, so that thousands of calls with one id do not each count from the beginning.
    numbers: dict[str, int] = {}
    for call in calls:
        wanted = name = call.id or "call"
        while name in taken:
            numbers[wanted] = numbers.get(wanted, 1) + 1
            name = f"{wanted}-{numbers[wanted]}"
        taken.add(name)
        unique.append(call.plain(name))
    return tuple(unique)
