"""What one model at one endpoint accepts, found out once and remembered.

Structured replies go down a ladder (json_schema, json_object, prompt only) and parameters a model rejects by name are
left out or renamed: by the field that the vendor names, by its code, or by the sense of its words. Each step costs one
refusal, for the first call that meets it.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tfgrpo.backends.error_bodies import ErrorDetails


class SchemaMode(StrEnum):
    """How a JSON schema reaches the model."""

    JSON_SCHEMA = "json_schema"
    """The endpoint enforces the schema."""
    JSON_OBJECT = "json_object"
    """The endpoint enforces some JSON; the prompt says which."""
    PROMPT = "prompt"
    """The prompt alone says it."""


LADDER = tuple(SchemaMode)
NAMES: Mapping[str, re.Pattern[str]] = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "top_p": r"\btop[_\- ]?p\b|\bnucleus\b",
        "temperature": r"\btemperature\b",
        "seed": r"\bseed\b|\brandom[_ ]?seed\b",
        "stop": r"[`'\"]stop[`'\"]|\bstop[_ ]?(words?|tokens?|sequences?|strings?)\b"
        r"|\b(parameter|field|argument):? stop\b|^stop\b|: ?stop$",
        "return_token_ids": r"\breturn_token_ids\b",
        "max_tokens": r"\bmax_tokens\b",
    }.items()
}
"""Settings without which a call still asks the same question (`max_tokens` has another name), and what vendors call
them. Where two are named, the first one here goes."""
BOUNDS = ("maxLength", "maxItems")
"""Keywords of a schema without which it still says the form; some strict dialects do not know them."""
SYSTEM = re.compile(
    r"\b(system|developer)\b.{0,20}\b(role|messages?|prompts?|instructions?)\b"
    r"|\b(role|message|instruction)s?\b.{0,20}\b(system|developer)\b|roles must alternate",
    re.IGNORECASE,
)
ABOUT_SCHEMA = re.compile(
    r"response_format|response_mime_type|responseSchema|json.?schema|json.?object|json.?mode|structured.?output|guided"
    r"|grammar|word 'json'",
    re.IGNORECASE,
)
TOO_LONG = re.compile(
    r"max(_completion)?_tokens\b.{0,80}"
    r"(cannot be|can't be|may not be|too (large|high|big)|greater|larger|exceed).{0,80}"
    r"(max_model_len|context|window)",
    re.IGNORECASE | re.DOTALL,
)
"""How engines say that the longest reply that was asked for does not fit into their window."""
ABOUT_LENGTH = re.compile(r"context.?(length|window)|too long|too large|maximum", re.IGNORECASE)
REFUSAL = re.compile(
    "|".join(
        (
            r"n[o'\u2019]t (currently )?(support|allow|accept|permit|enabled|available|implement|compatible)",
            r"unsupported",
            r"n[o'\u2019]t (currently )?recogni[sz]ed|not permitted|unrecogni[sz]ed|unknown|unexpected|deprecated",
            r"cannot (both )?be (specified|used|set|combined|provided)|can(no|')t (use|set|specify)|no longer",
            r"not both|mutually exclusive|only one of|use only one|extra[ _](inputs?|fields?|forbidden)|is fixed",
            r"only the default",
            r"only (the value )?`?\d[\d.]*`? is (allowed|supported|accepted)|only supports?|only accepts?|disabled",
            r"must (be|equal) (exactly )?`?1(\.0+)?`?( |\.|,|$)|roles must alternate|does not exist|cannot find field",
            r"no such (field|parameter)|(invalid|not a valid) (parameter|argument|field)",
            r"(none|null) (is not|was given|not)|got none|should be a valid (integer|number)",
        )
    ),
    re.IGNORECASE,
)
"""How vendors say that a setting is not taken. That a value is out of range is another matter: it is the user's."""
CODES = re.compile(r"unsupported|unknown|unrecogni[sz]ed|extra_forbidden|not_supported|unexpected")


LIMIT_NAMES = ("max_tokens", "max_completion_tokens")
KEPT = ("schema_settled", "limit_name", "refused_limit", "system_in_user", "counts_first_only")
DIALECT = "dialect"
"""Name of the stored fact that says what an endpoint takes."""


@dataclass(slots=True)
class Dialect:
    """What is known so far."""

    schema_mode: SchemaMode = SchemaMode.JSON_SCHEMA
    schema_settled: bool = False
    """True once a call with a schema was answered."""
    schema_faults: int = 0
    """Server errors that calls with the present form of a schema met before any was answered."""
    dropped: set[str] = field(default_factory=set)
    limit_name: str = "max_tokens"
    refused_limit: int | None = None
    """The smallest limit of a reply that was too long for the model; as much or more is left to the endpoint."""
    system_in_user: bool = False
    """Whether what is for the system role goes into the first user turn."""
    counts_first_only: bool = False
    """Whether the usage of a request for several choices counts the completion of the first alone."""
    told: set[str] = field(default_factory=set)
    probe: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by the one call that tries a schema while nothing is settled, so that one 400 decides for all."""

    def limit(self, tokens: int | None) -> int | None:
        """Return the limit of a reply to send; None leaves it to the endpoint."""
        return None if tokens is None or tokens >= (self.refused_limit or tokens + 1) else tokens

    def learn(self, sent: Mapping[str, Any], said: ErrorDetails) -> str:
        """Draw the conclusion from a refusal and return it in words; empty when it is not about a setting.

        Args:
            sent: the body that was refused; another call may have drawn the conclusion meanwhile.
            said: what the endpoint said.
        """
        detail, param = said.said, said.param.rpartition("body.")[2]
        bound = self._bound_in(detail)
        if "response_format" in sent and (bound or ABOUT_SCHEMA.search(detail) or param.startswith("response_format")):
            return self._unbounded(bound) if bound else self._step_down(SchemaMode(sent["response_format"]["type"]))
        if sent.get(self.limit_name) and TOO_LONG.search(detail):
            return self._shorten(sent[self.limit_name])
        if ABOUT_LENGTH.search(detail) or not (REFUSAL.search(detail) or CODES.search(said.code)):
            return ""
        named = param if param in NAMES and param in sent else ""
        for name in (named, *(name for name, words in NAMES.items() if name in sent and words.search(detail))):
            if name:
                return self._without(name)
        about = SYSTEM.search(detail) or (param.startswith("messages") and param.endswith("role"))
        if not about or not any(message.get("role") == "system" for message in sent.get("messages", ())):
            return ""
        self.system_in_user = True
        return "what is for the system role goes into the user's turn"

    def _shorten(self, limit: int) -> str:
        self.refused_limit = min(limit, self.refused_limit or limit)
        return f"no limit of tokens is sent where {self.refused_limit} or more are allowed: the model has less room"

    def stumble(self, sent: Mapping[str, Any], said: ErrorDetails) -> str:
        """Draw the conclusion from a server error of a call with a schema; empty while it may pass by itself.

        Some engines answer 500 to a schema that they cannot compile: a second one, or words about it, is a refusal.
        """
        if "response_format" not in sent or self.schema_settled:
            return ""
        mode = SchemaMode(sent["response_format"]["type"])
        if mode is not self.schema_mode:
            return f"structured replies are asked for by {self.schema_mode}"
        self.schema_faults += 1
        return self._step_down(mode) if self.schema_faults > 1 or ABOUT_SCHEMA.search(said.said) else ""

    def is_news(self, lesson: str) -> bool:
        """Whether this conclusion is drawn for the first time; the calls that were under way draw it again."""
        first = lesson not in self.told
        self.told.add(lesson)
        return first

    def _without(self, name: str) -> str:
        if name == "max_tokens":
            self.limit_name = "max_completion_tokens"
            return "max_tokens is sent as max_completion_tokens"
        self.dropped.add(name)
        return f"{name} is not sent"

    def _bound_in(self, detail: str) -> str:
        """Return the keyword of a schema that a refusal names; empty when it names none that could go."""
        named = (bound for bound in BOUNDS if bound not in self.dropped and re.search(rf"\b{bound}\b", detail))
        return next(named, "")

    def _unbounded(self, bound: str) -> str:
        self.dropped.add(bound)
        return f"{bound} is left out of schemas"

    def _step_down(self, refused: SchemaMode) -> str:
        if refused is self.schema_mode:
            self.schema_mode, self.schema_faults = LADDER[LADDER.index(refused) + 1], 0
        return f"structured replies are asked for by {self.schema_mode}"

    def to_text(self) -> str:
        """Return what is known as JSON, for the store."""
        plain = {name: getattr(self, name) for name in KEPT}
        return json.dumps({**plain, "schema_mode": str(self.schema_mode), "dropped": sorted(self.dropped)})

    @classmethod
    def of_text(cls, text: str) -> Dialect:
        """Return what `to_text` told; what cannot be read is not known."""
        try:
            told = json.loads(text)
            mode, dropped = SchemaMode(told["schema_mode"]), {name for name in told["dropped"] if isinstance(name, str)}
            limit, refused = told["limit_name"], told["refused_limit"]
            return cls(
                schema_mode=mode,
                schema_settled=bool(told["schema_settled"]),
                dropped=dropped,
                limit_name=limit if limit in LIMIT_NAMES else LIMIT_NAMES[0],
                refused_limit=refused if isinstance(refused, int) and refused > 0 else None,
                system_in_user=bool(told["system_in_user"]),
                counts_first_only=bool(told["counts_first_only"]),
            )
        except (ValueError, LookupError, TypeError):
            return cls()


def response_format(schema: Mapping[str, Any], mode: SchemaMode) -> dict[str, Any] | None:
    """Return the `response_format` for `schema`; None where the prompt alone says it."""
    if mode is SchemaMode.PROMPT:
        return None
    if mode is SchemaMode.JSON_OBJECT:
        return {"type": "json_object"}
    name = re.sub(r"[^\w-]", "_", str(schema.get("title", "reply")))[:64]
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": is_strict(schema)}}


def drop_keywords(schema: Any, keywords: Collection[str]) -> Any:
    """Return a schema without some of its keywords, at any depth."""
    if isinstance(schema, Mapping):
        return {key: drop_keywords(part, keywords) for key, part in schema.items() if key not in keywords}
    return [drop_keywords(part, keywords) for part in schema] if isinstance(schema, list) else schema


def is_strict(schema: Any) -> bool:
    """Whether OpenAI's strict mode takes `schema`: each object closed, with all of its properties required."""
    if isinstance(schema, Mapping):
        if "properties" in schema:
            closed = schema.get("additionalProperties") is False
            if not closed or set(schema["properties"]) != set(schema.get("required", ())):
                return False
        return all(is_strict(part) for part in schema.values())
    return all(is_strict(part) for part in schema) if isinstance(schema, list) else True
