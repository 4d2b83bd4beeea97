"""Texts to vectors: by any `/v1/embeddings`, or by a static model in a folder.

A static model is a table with a vector for each token (as model2vec stores them: `model.safetensors` with the tensor
`embeddings`, and `tokenizer.json`); a text is the mean of its tokens' vectors. It runs without a network and without
torch, in microseconds a text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tfgrpo.backends.http import Http, NotDelivered, TooLarge
from tfgrpo.errors import EndpointError, UsageError
from tfgrpo.system.untrusted_json import loads

Floats = NDArray[np.float32]
BATCH = 128
"""Texts of one request."""
TEXTS_AT_ONCE = 1000
"""Texts whose tokens' vectors are summed together."""
SECONDS = 60.0
"""Longest wait for one answer."""


class Embedder(Protocol):
    """Turns texts into vectors."""

    name: str
    """Stable name of the model; vectors of one name can be compared."""
    cheap: bool
    """Whether a vector is made sooner than it is read; such vectors are not kept."""

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return a row of float32 for each text."""
        ...


@dataclass(slots=True)
class Endpoint:
    """A model behind an OpenAI-compatible `/v1/embeddings`."""

    url: str
    """Base URL, as `https://host/v1`."""
    model: str
    key: str | None = None
    name: str = field(init=False)
    cheap: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        """Name it by model and place."""
        self.name = f"{self.model} at {self.url}"

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return a row for each text.

        Raises:
            EndpointError: no answer, or none that holds vectors; the message says what came.
        """
        rows = [self._batch(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return np.concatenate(rows) if rows else np.zeros((0, 0), np.float32)

    def _batch(self, texts: Sequence[str]) -> Floats:
        body = json.dumps({"model": self.model, "input": list(texts), "encoding_format": "float"}).encode()
        try:
            text = asyncio.run(self._sent(body))
            data = sorted(loads(text, most_values=100_000_000)["data"], key=lambda row: int(row["index"]))
            found = np.asarray([row["embedding"] for row in data], np.float32)
        except (NotDelivered, TooLarge, TimeoutError) as error:
            raise self._error(f"no answer ({type(error).__name__})") from error
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise self._error(f"an answer without vectors ({type(error).__name__})") from error
        if found.ndim != 2 or len(found) != len(texts) or not np.isfinite(found).all():
            raise self._error(f"vectors of the shape {found.shape} for {len(texts)} texts")
        return found

    async def _sent(self, body: bytes) -> str:
        http = Http(most=512 * 2**20)
        headers = {"Content-Type": "application/json"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        try:
            sending = http.send("POST", f"{self.url.rstrip('/')}/embeddings", body, headers)
            answer = await asyncio.wait_for(sending, SECONDS)
        finally:
            await http.aclose()
        if answer.status != 200:
            raise self._error(f"status {answer.status}: {answer.text[:200]!r}")
        return answer.text

    def _error(self, what: str) -> EndpointError:
        told = f"{self.url} gave {what} when asked to embed with {self.model}; check lessons.embedding"
        return EndpointError(told)


class StaticModel:
    """A table of token vectors in a folder."""

    cheap = True

    def __init__(self, folder: str | Path):
        """Read the table.

        Raises:
            UsageError: the folder holds no such model; the message names what is missing.
        """
        from safetensors.numpy import load_file  # noqa: PLC0415  only where it is used
        from tokenizers import Tokenizer  # noqa: PLC0415

        place = Path(folder)
        try:
            tensors = load_file(place / "model.safetensors")
            self._tokenizer: Any = Tokenizer.from_file(str(place / "tokenizer.json"))
        except Exception as error:  # Both libraries raise bare exceptions of their own.
            raise UsageError(
                f"{place} holds no static model: it needs model.safetensors and tokenizer.json ({error})"
            ) from error
        table = tensors.get("embeddings")
        if table is None or table.ndim != 2:
            raise UsageError(f"{place / 'model.safetensors'} has no table of two dimensions named 'embeddings'")
        self._table: Floats = table.astype(np.float32)
        self.name = f"static {place.resolve().name} {self._table.shape[0]}x{self._table.shape[1]}"

    def __call__(self, texts: Sequence[str]) -> Floats:
        """Return the mean vector of each text's tokens; nothing known gives zeros."""
        found = np.zeros((len(texts), self._table.shape[1]), np.float32)
        for start in range(0, len(texts), TEXTS_AT_ONCE):
            part = list(texts[start : start + TEXTS_AT_ONCE])
            encoded = self._tokenizer.encode_batch(part, add_special_tokens=False)
            ids = [[i for i in one.ids if i < len(self._table)] for one in encoded]
            counts = np.array([len(one) for one in ids])
            there = np.flatnonzero(counts)
            if len(there):
                starts = np.cumsum(counts[there]) - counts[there]
                sums = np.add.reduceat(self._table[[i for one in ids for i in one]], starts)
                found[start + there] = sums / counts[there, None]
        return found
