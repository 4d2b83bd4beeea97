"""The one door for JSON from outside: text becomes plain data, and plain data becomes typed models, or `Unreadable`.

A value of another type than the format says is taken where it can only mean one thing (a count as text or as 37.0),
is unknown where nobody needs it (a count that is NaN, reasoning that is a list), and makes its own object unreadable
where it is what was asked for. So one odd field costs that field, and one odd choice that choice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from experience_db.foreign_json import DEEPEST, Unreadable, each_value, fault_of, loads

__all__ = [
    "DEEPEST", "CallIn", "ChoiceIn", "CompletionIn", "ErrorIn", "FailureIn", "FunctionIn", "MessageIn", "ScoredIn",
    "StoredCall", "StoredReply", "StoredResult", "StoredRollout", "StoredUsage", "Unreadable", "UntrustedModel",
    "UsageIn", "count_of", "each_value", "fault_of", "loads", "money_of", "read_each", "read_model", "text_of",
]  # fmt: skip

Model = TypeVar("Model", bound=BaseModel)
MOST_TOKENS = 10**12
"""A larger count is no count."""
MOST_USD = 1e9
_TOTALS = ("total_cost", "total", "cost", "usd", "amount")
"""Where an object that stands for money holds the sum."""


def read_model(model: type[Model], value: Any) -> Model:
    """Return `value` as `model`.

    Raises:
        Unreadable: it is of another form; the message names the first field.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"])) or "it"
        raise Unreadable(f"{where}: {fault['msg'].removeprefix('Value error, ')}") from None
    except RecursionError:
        raise Unreadable("JSON that is nested too deep") from None


def count_of(value: Any) -> int | None:
    """Return a number of tokens, None where it is unknown: no number, negative, not finite, beyond all measure."""
    number = _number(value)
    return round(number) if number is not None and 0 <= number <= MOST_TOKENS else None


def money_of(value: Any) -> float | None:
    """Return US dollars, None where they are unknown; an object is read by its total."""
    if isinstance(value, Mapping):
        return next((found for name in _TOTALS if (found := money_of(value.get(name))) is not None), None)
    number = _number(value)
    return number if number is not None and 0 <= number <= MOST_USD else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        # Whole numbers of any length are JSON; those beyond a float are no count.
        number = float(value if not isinstance(value, str) else value.strip()[:40])
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def text_of(value: Any) -> str | None:
    """Return a text: as it is, out of an object with `text`, or joined from a list of parts; None for none.

    Parts of other kinds (images, thinking) hold no text of the answer and are passed over.

    Raises:
        ValueError: it is a number, or an object without text.
    """
    if value is None or isinstance(value, str):
        return value if value is None else _storable(value)
    if isinstance(value, Mapping):
        return _part(value)
    if isinstance(value, list):
        return "".join(_part(part) or "" for part in value if part is not None)
    raise ValueError(f"a {_kind(value)} where text belongs")


def _part(part: Any) -> str | None:
    if isinstance(part, str):
        return _storable(part)
    if not isinstance(part, Mapping):
        raise ValueError(f"a {_kind(part)} where text belongs")  # noqa: TRY004 - pydantic wants a ValueError
    if part.get("type", "text") not in ("text", "output_text", "refusal"):
        return ""
    said = part.get("text", part.get("refusal"))
    if not isinstance(said, str):
        raise ValueError("an object without text where text belongs")  # noqa: TRY004 - as above
    return _storable(said)


def _storable(text: str) -> str:
    # Half a surrogate pair can be written in JSON, but neither stored nor sent on.
    return text.encode("utf-8", "replace").decode()


def _kind(value: Any) -> str:
    return (
        "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else type(value).__name__
    )


def _some_text(value: Any) -> str | None:
    """Text where there is some; None for whatever else stands there."""
    try:
        return text_of(value) or None
    except ValueError:
        return None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: Any) -> list[Any]:
    """The entries of a list that are something; a single object is a list of one."""
    if isinstance(value, Mapping):
        return [value]
    return [entry for entry in value if entry is not None] if isinstance(value, list) else []


def _ids(value: Any) -> tuple[int, ...] | None:
    """Token ids, None where any entry is none."""
    if not isinstance(value, list) or not all(type(one) is int and 0 <= one < 2**31 for one in value):
        return None
    return tuple(value)


def _arguments(value: Any) -> str:
    """The arguments of a call as JSON text; some servers send an object, some encode the text once more."""
    if value is None or value == "":
        return "{}"
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value.lstrip()[:1] == '"':
        try:
            inner = loads(value)
        except Unreadable:
            return value
        return inner if isinstance(inner, str) and inner.lstrip()[:1] == "{" else value
    return value


def _name(value: Any) -> str:
    """The name of a function, without the marks of a channel that some servers leave behind it."""
    return value.partition("<|")[0].strip() if isinstance(value, str) else ""


Count = Annotated[int | None, BeforeValidator(count_of)]
Money = Annotated[float | None, BeforeValidator(money_of)]
Text = Annotated[str | None, BeforeValidator(text_of)]
SomeText = Annotated[str | None, BeforeValidator(_some_text)]
Ids = Annotated[tuple[int, ...] | None, BeforeValidator(_ids)]
AnObject = Annotated[dict[str, Any], BeforeValidator(_object)]
Objects = Annotated[list[Any], BeforeValidator(_objects)]


class UntrustedModel(BaseModel):
    """An object from outside; what it holds besides is passed over."""

    # Built when first read: most runs meet few of these, and building is slower than reading.
    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)


class UsageIn(UntrustedModel):
    """A `usage` object; None is unknown."""

    prompt_tokens: Count = None
    completion_tokens: Count = None
    prompt_tokens_details: AnObject = {}
    prompt_cache_hit_tokens: Count = None
    cost: Money = None

    @property
    def cached(self) -> int:
        """Prompt tokens out of the prefix cache, never more than there are."""
        found = count_of(self.prompt_tokens_details.get("cached_tokens")) or self.prompt_cache_hit_tokens or 0
        return min(found, self.prompt_tokens or 0)


class FunctionIn(UntrustedModel):
    """Which function a call names."""

    name: Annotated[str, BeforeValidator(_name)] = ""
    arguments: Annotated[str, BeforeValidator(_arguments)] = "{}"


class CallIn(UntrustedModel):
    """One tool call."""

    id: SomeText = None
    function: FunctionIn

    def plain(self, name: str) -> dict[str, Any]:
        """Return it as a message holds it, under the id `name`."""
        return {"id": name, "type": "function", "function": self.function.model_dump()}


class MessageIn(UntrustedModel):
    """What the model said."""

    content: Text = None
    refusal: SomeText = None
    reasoning_content: SomeText = None
    reasoning: SomeText = None
    tool_calls: Annotated[list[CallIn], BeforeValidator(_objects)] = []
    function_call: FunctionIn | None = None


class ChoiceIn(UntrustedModel):
    """One choice."""

    message: MessageIn = Field(default_factory=MessageIn)
    finish_reason: Any = None
    token_ids: Ids = None
    error: Any = None

    @property
    def said_how_it_ended(self) -> bool:
        """Whether there is a finish reason at all; some servers never give one."""
        return "finish_reason" in self.model_fields_set


class CompletionIn(UntrustedModel):
    """The body of a chat completion; the choices are read one by one."""

    choices: Annotated[list[Any], BeforeValidator(lambda value: value if isinstance(value, list) else [])] = []
    usage: UsageIn | None = None
    error: Any = None

    @classmethod
    def of(cls, payload: Any) -> CompletionIn:
        """Return the body; a usage that is no object is none.

        Raises:
            Unreadable: it is no object.
        """
        if not isinstance(payload, Mapping):
            raise Unreadable("JSON that is not an object")
        usage = payload.get("usage")
        return read_model(cls, {**payload, "usage": usage if isinstance(usage, Mapping) else None})


class ScoredIn(UntrustedModel):
    """One choice of a legacy completion that echoes its prompt with log-probs."""

    prompt_logprobs: list[Any] | None = None
    logprobs: AnObject = {}


class StoredUsage(UntrustedModel):
    """Usage in a record of the journal."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    prompt_tokens: int = Field(0, ge=0, strict=True)
    completion_tokens: int = Field(0, ge=0, strict=True)
    cached_tokens: int = Field(0, ge=0, strict=True)
    usd: float | None = Field(0.0, allow_inf_nan=False)
    estimated_tokens: int = Field(0, ge=0, strict=True)


class StoredReply(UntrustedModel):
    """A reply in a record of the journal: strict, for we wrote it."""

    text: str = Field(strict=True)
    finish_reason: str = Field(strict=True)
    usage: StoredUsage
    reasoning: str | None = None
    tool_calls: list[dict[str, Any]] | None = None
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float | None, ...] | None = None
    token_texts: tuple[str, ...] | None = None


class FailureIn(UntrustedModel):
    """A failure in a record of the journal."""

    kind: str
    message: str


class StoredResult(UntrustedModel):
    """What a tool answered, in a record of the journal."""

    text: str
    failure: FailureIn | None = None
    detail: dict[str, Any] = {}
    seconds: float = 0.0


class StoredCall(StoredResult):
    """A tool call of a rollout, in a record of the journal."""

    id: str
    name: str
    arguments: str
    turn: int


class StoredRollout(UntrustedModel):
    """An agent's rollout in a record of the journal."""

    messages: list[dict[str, Any]]
    answer: str = Field(strict=True)
    finish_reason: str
    usage: StoredUsage
    tainted: bool
    tool_calls: list[StoredCall] = []
    notes: list[str] = []


class ErrorIn(UntrustedModel):
    """What explains a refusal, wherever a vendor puts it."""

    message: SomeText = None
    param: SomeText = None
    code: Annotated[str, BeforeValidator(lambda v: str(v)[:80] if isinstance(v, str | int | float) else "")] = ""
    type: SomeText = None
    metadata: AnObject = {}
    details: Objects = []


def read_each(
    model: type[Model], values: Sequence[Any], lost: Callable[[Unreadable], None] | None = None
) -> list[Model]:
    """Return those of `values` that can be read, telling `lost` of the others."""
    found = []
    for value in values:
        try:
            found.append(read_model(model, value))
        except Unreadable as error:
            if lost is not None:
                lost(error)
    return found
