"""How a client finds out what a model accepts: one call probes, and a 400 that names a setting teaches."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tfgrpo.backends.capabilities import Dialect
from tfgrpo.backends.error_bodies import parse_error_body
from tfgrpo.backends.faults import Where
from tfgrpo.backends.retry_policy import Renegotiated
from tfgrpo.types import FailureKind, Reply, Request

log = logging.getLogger(__name__)


async def negotiated(request: Request, dialect: Dialect, ask: Callable[[Request, Dialect], Awaitable[Reply]]) -> Reply:
    """Return what `ask` returns; of the calls with a schema the first goes alone, so that it settles how to ask."""
    if request.response_schema is not None and not dialect.schema_settled:
        async with dialect.probe:
            if not dialect.schema_settled:
                reply = await ask(request, dialect)
                dialect.schema_settled = True
                return reply
    return await ask(request, dialect)


def renegotiated(
    where: Where, status: int, body: str, sent: Mapping[str, Any], dialect: Dialect
) -> Renegotiated | None:
    """Return why to ask again at once when a refusal was about a setting of `sent`, which is left out from now on.

    Args:
        where: the place.
        status: of the answer.
        body: of the answer.
        sent: what was asked.
        dialect: what is known of the model, which learns from this.
    """
    said = parse_error_body(body)
    lesson = ""
    if status in {400, 404, 415, 422}:
        lesson = dialect.learn(sent, said)
    elif status in {500, 501}:
        # A refusal in the clothes of a server error; a plain one says nothing of settings.
        lesson = (dialect.learn(sent, said) if status == 501 else "") or dialect.stumble(sent, said)
    if not lesson:
        return None
    if dialect.is_news(lesson):
        log.warning("%s: %s from now on, since it answered: %s", where, lesson, where.quote(said.said))
    return Renegotiated(f"{where}: {lesson}", FailureKind.REFUSED_REQUEST, status=status)
