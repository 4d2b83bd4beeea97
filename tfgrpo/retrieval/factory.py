"""A retrieval by its name and settings."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from experience_db import Library, Retrieval, Store
from experience_db.retrieval import Ranker, WordRanker
from tfgrpo import config as configuration
from tfgrpo.config import LessonsConfig
from tfgrpo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tfgrpo.retrieval.embedders import Embedder

NAMES = ("all", "fts", "embedding", "hybrid")


def retrieval_for(name: str, config: LessonsConfig, store: Store | None = None) -> Retrieval | None:
    """Return the retrieval of a name; None is the whole library.

    Args:
        name: one of NAMES.
        config: says the room, and which model embeds.
        store: what was measured, and where vectors are kept.

    Raises:
        UsageError: no such name, or `lessons.embedding` names no model.
    """
    if name not in NAMES:
        raise UsageError(f"no retrieval {name!r}; there are: {', '.join(NAMES)}")
    if name == "all":
        return None
    rankers: list[Ranker] = [WordRanker()] if name in ("fts", "hybrid") else []
    if name in ("embedding", "hybrid"):
        from tfgrpo.retrieval.vector_ranker import VectorRanker  # noqa: PLC0415  loads numpy

        rankers.append(VectorRanker(embedder_for(config), store))
    if store is None:
        return Retrieval(tuple(rankers), config.retrieval_tokens)
    return Retrieval(tuple(rankers), config.retrieval_tokens, partial(_effects, store))


def embedder_for(config: LessonsConfig) -> Embedder:
    """Return the model that `lessons.embedding` names: `static:FOLDER` or `openai/NAME`. Raises UsageError."""
    from tfgrpo.retrieval.embedders import Endpoint, StaticModel  # noqa: PLC0415  loads numpy

    kind, found, rest = config.embedding.partition(":")
    if found and kind == "static":
        return StaticModel(rest)
    if config.embedding.startswith("openai/"):
        url = config.embedding_url or configuration.environment("OPENAI_BASE_URL") or "https://api.openai.com/v1"
        return Endpoint(url, config.embedding.removeprefix("openai/"), configuration.environment("OPENAI_API_KEY"))
    raise UsageError(
        f"lessons.embedding is {config.embedding!r}; name a model: -s lessons.embedding=static:FOLDER, or "
        "-s lessons.embedding=openai/NAME with -s lessons.embedding_url=URL"
    )


def _effects(store: Store, library: Library, ids: Iterable[int]) -> dict[int, float]:
    """What the store knows of a library by its name, also of a candidate of it; nothing of another one."""
    return store.effects(library.name, ids) if library.name in store.libraries() else {}
