"""What a probe found out about endpoints is where later runs begin: no call is refused to learn it again."""

from __future__ import annotations

from tfgrpo.backends.capabilities import DIALECT, Dialect
from tfgrpo.backends.endpoints import Endpoints
from tfgrpo.backends.identity import Facts
from tfgrpo.backends.openai import OpenAI


def recall_dialects(facts: Facts, line: Endpoints) -> None:
    """Give each endpoint of a line what a probe of its address found out; what calls have learned since stays."""
    for backend in line.backends:
        if isinstance(backend, OpenAI) and line.model not in backend.dialects:
            told = facts.endpoint_fact(backend.base_url, line.model, DIALECT)
            if told is not None:
                backend.dialects[line.model] = Dialect.of_text(told)


def keep_dialects(facts: Facts, line: Endpoints) -> None:
    """Keep what the calls to each endpoint of a line have taught."""
    for backend in line.backends:
        if isinstance(backend, OpenAI):
            facts.record_endpoint_fact(backend.base_url, line.model, DIALECT, backend.dialects[line.model].to_text())
