"""What a client may send: each endpoint's body as a strict model; fields that are not here are ignored.

Lists are bounded, numbers have ranges, and the first thing wrong becomes one sentence that names its field.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tfgrpo.types import Message

TOP = 20
"""Most alternatives per token that may be asked for."""


class ApiError(Exception):
    """A request that is answered with an error; the fields are those of OpenAI's error object."""

    def __init__(self, status: int, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


class Body(BaseModel):
    """Any request body."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    model: str | None = None
    """Absent means the one model there is."""


class Part(BaseModel):
    """A piece of a message's content; this model reads text only."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: str
    content: str | list[Part] | None = None

    def plain(self) -> Message:
        """The message with its content as one text."""
        content = self.content
        return {"role": self.role, "content": content if isinstance(content, str) else _joined(content or [])}


class StreamOptions(BaseModel):
    """What a stream carries beside the text."""

    include_usage: bool = False


class ResponseFormat(BaseModel):
    """The shape the content shall have; a schema is accepted, but only JSON itself is looked for."""

    type: Literal["text", "json_object", "json_schema"]


class Sampled(Body):
    """The options that both kinds of completion share."""

    n: int = Field(1, ge=1, le=128)
    seed: int | None = None
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    stop: str | Annotated[list[str], Field(max_length=16)] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    prompt_logprobs: int | None = Field(None, ge=0, le=TOP)
    """vLLM's: the log-probability of each prompt token, with so many alternatives."""
    return_token_ids: bool = False
    """vLLM's: adds `prompt_token_ids` and `token_ids`."""
    response_format: ResponseFormat | None = None

    @property
    def stops(self) -> tuple[str, ...]:
        """Stop strings as a tuple, without empty ones."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return tuple(word for word in given if word)

    @property
    def wants_json(self) -> bool:
        """Whether the content shall be JSON."""
        return self.response_format is not None and self.response_format.type != "text"

    @property
    def stream_usage(self) -> bool:
        """Whether a stream ends with a chunk that holds the usage."""
        return self.stream_options is not None and self.stream_options.include_usage


class ChatBody(Sampled):
    """Body of `/v1/chat/completions`."""

    messages: list[ChatMessage] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(None, ge=0, le=TOP)


class CompletionBody(Sampled):
    """Body of `/v1/completions`."""

    prompt: str | list[int] | list[str] | list[list[int]]
    max_tokens: int | None = Field(16, ge=0)
    logprobs: int | None = Field(None, ge=0, le=TOP)
    echo: bool = False


class TokenizeBody(Body):
    """Body of `/tokenize`: a text, or messages, which are put through the chat template."""

    prompt: str | None = None
    messages: list[ChatMessage] | None = None


class DetokenizeBody(Body):
    """Body of `/detokenize`."""

    tokens: list[int]


B = TypeVar("B", bound=BaseModel)


def parse_body(kind: type[B], raw: object) -> B:
    """The body as `kind`.

    Raises:
        ApiError: 400 with a sentence that names the first field that is wrong.
    """
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(step) for step in first["loc"]) or "body"
        raise ApiError(400, f"{field}: {_sentence(first)}.", param=field) from error


def _sentence(error: Any) -> str:
    """Pydantic's words; for wrong values also the value, cut to a readable length."""
    said: str = error["msg"].rstrip(".")
    return said if error["type"] == "missing" else f"{said}, not {str(error['input'])[:60]!r}"


def _joined(parts: list[Part]) -> str:
    """The texts of the parts, line by line."""
    return "\n".join(part.text for part in parts)
