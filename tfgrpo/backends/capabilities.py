"""What one model at one endpoint accepts, found out once and remembered.

Structured replies go down a ladder (json_schema, json_object, prompt only) and parameters a model rejects by name are
left out or renamed. Each step costs one 400, for the first call that meets it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class SchemaMode(StrEnum):
    """How a JSON schema reaches the model."""

    JSON_SCHEMA = "json_schema"
    """The endpoint enforces the schema."""
    JSON_OBJECT = "json_object"
    """The endpoint enforces some JSON; the prompt says which."""
    PROMPT = "prompt"
    """The prompt alone says it."""


LADDER = tuple(SchemaMode)
MAY_GO = ("temperature", "top_p", "seed", "return_token_ids")
"""Settings without which a call still asks the same question."""
ABOUT_SCHEMA = re.compile(
    r"response_format|json.?schema|json.?object|json.?mode|structured.?output|guided|grammar|word 'json'", re.IGNORECASE
)
ABOUT_LENGTH = re.compile(r"context.?(length|window)|too long|too large|maximum", re.IGNORECASE)
UNSUPPORTED = re.compile(
    r"unsupported|n[o']t support|unrecognized|unknown|unexpected|not permitted|not allowed|extra (inputs?|fields?)"
    r"|deprecated|only the default|not available",
    re.IGNORECASE,
)


@dataclass(slots=True)
class Dialect:
    """What is known so far."""

    schema_mode: SchemaMode = SchemaMode.JSON_SCHEMA
    schema_settled: bool = False
    """True once a call with a schema was answered."""
    dropped: set[str] = field(default_factory=set)
    limit_name: str = "max_tokens"
    told: set[str] = field(default_factory=set)
    probe: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one call that tries a schema while nothing is settled, so that one 400 decides for all."""

    def learn(self, sent: Mapping[str, Any], detail: str) -> str:
        """Draw the conclusion from a 400 and return it in words; empty when the 400 is not about a setting.

        Args:
            sent: the body that was refused; another call may have drawn the conclusion meanwhile.
            detail: what the endpoint said.
        """
        if "response_format" in sent and ABOUT_SCHEMA.search(detail):
            return self._step_down(SchemaMode(sent["response_format"]["type"]))
        if ABOUT_LENGTH.search(detail) or not UNSUPPORTED.search(detail):
            return ""
        if "max_tokens" in sent and re.search(r"\bmax_tokens\b", detail):
            self.limit_name = "max_completion_tokens"
            return "max_tokens is sent as max_completion_tokens"
        for name in MAY_GO:
            if name in sent and re.search(rf"\b{name}\b", detail):
                self.dropped.add(name)
                return f"{name} is not sent"
        return ""

    def is_news(self, lesson: str) -> bool:
        """Whether this conclusion is drawn for the first time; the calls that were under way draw it again."""
        first = lesson not in self.told
        self.told.add(lesson)
        return first

    def _step_down(self, refused: SchemaMode) -> str:
        if refused is self.schema_mode:
            self.schema_mode = LADDER[LADDER.index(refused) + 1]
        return f"structured replies are asked for by {self.schema_mode}"


def response_format(schema: Mapping[str, Any], mode: SchemaMode) -> dict[str, Any] | None:
    """Return the `response_format` for `schema`; None where the prompt alone says it."""
    if mode is SchemaMode.PROMPT:
        return None
    if mode is SchemaMode.JSON_OBJECT:
        return {"type": "json_object"}
    name = re.sub(r"[^\w-]", "_", str(schema.get("title", "reply")))[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": is_strict(schema)}}


def is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes `schema`: each object closed, with all of its properties required."""
    if isinstance(schema, Mapping):
        if "properties" in schema:
            closed = schema.get("additionalProperties") is False
            if not closed or set(schema["properties"]) != set(schema.get("required", ())):
                return False
        return all(is_strict(part) for part in schema.values())
    return all(is_strict(part) for part in schema) if isinstance(schema, list) else True
