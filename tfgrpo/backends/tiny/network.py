"""The Llama forward pass in numpy, in which every token is a row that is computed on its own.

What a row comes to depends on the tokens up to it, to the last bit, and on nothing else: not on the other rows, how
long the others are, whether its prompt was read at once or in parts, or whether it was read or sampled. A BLAS library
orders its sums by the shapes that it is given, another way on each processor, so no shape may depend on the company:

- Rows never share a matrix product; each is multiplied alone, and for matrices this small that is no slower.
- Attention goes over blocks of `BLOCK` positions; what blocks give is added here, one after another. Positions that a
  row may not see weigh exactly 0, so it does not matter how many blocks there are.
- BLAS runs on one thread, because threads split sums too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from threadpoolctl import ThreadpoolController

from tfgrpo.backends.tiny.sampling import Floats

Caches = list[tuple[Floats, Floats]]
"""Keys and values of each layer, [heads, time, head width]; positions are already turned into the keys."""
Attend = Callable[[int, Floats, Floats, Floats], Floats]
"""From the layer's index and queries, keys and values [rows, heads, 1, head width] to mixed values of that shape."""
BLOCK = 64
"""Positions that attention multiplies at once; room for keys and values comes in multiples of it."""
ALIGNED = 16
"""The logits of each row are padded to a multiple of this many floats, 64 bytes, so that all rows begin alike."""
_TURN = Lock()
"""Held while BLAS is kept to one thread."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one layer, ready to be multiplied from the right; norm gains are folded in."""

    qkv: Floats
    out: Floats
    gate_up: Floats
    down: Floats


class Network:
    """Weights of the model, and the two ways through them."""

    def __init__(self, folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        weights = {name: value.astype(np.float32) for name, value in load_file(folder / "model.safetensors").items()}
        self.heads: int = config["num_attention_heads"]
        self.width: int = config["hidden_size"]
        self.longest: int = config["max_position_embeddings"]
        """Most positions that a prompt and its completion may take together."""
        self.epsilon = np.float32(config["rms_norm_eps"])
        self.embedding = weights["model.embed_tokens.weight"]
        self.vocabulary: int = self.embedding.shape[0]
        spare = _rounded_up(self.vocabulary, ALIGNED) - self.vocabulary
        head = np.pad(self.embedding * weights["model.norm.weight"], ((0, spare), (0, 0)))
        self.head = np.ascontiguousarray(head.T)
        self.layers = [_layer(weights, f"model.layers.{index}.") for index in range(config["num_hidden_layers"])]
        self.head_width = self.width // self.heads
        half = np.arange(0, self.head_width, 2) / self.head_width
        angles = np.arange(self.longest)[:, None] * (config["rope_theta"] ** -half)[None]
        self.cos: Floats = np.cos(angles).astype(np.float32)
        self.sin: Floats = np.sin(angles).astype(np.float32)

    def prefill(self, ids: Sequence[int], before: Caches | None = None, *, last: bool = False) -> tuple[Floats, Caches]:
        """Read `ids` after what `before` holds; return logits [len(ids), vocabulary] and the caches of everything.

        With `last` only the logits of the last token [1, vocabulary].
        """
        start = before[0][0].shape[1] if before else 0
        end = start + len(ids)
        caches = [self._room(end) for _ in self.layers]
        positions = np.arange(start, end)

        def attend(index: int, q: Floats, k: Floats, v: Floats) -> Floats:
            for whole, old, new in zip(caches[index], before[index] if before else (None, None), (k, v), strict=True):
                if old is not None:
                    whole[:, :start] = old
                whole[:, start:end] = new[:, :, 0].swapaxes(0, 1)
            return _attend_before(q, *caches[index], positions)

        with _one_thread():
            x = self._forward(np.asarray(ids), positions, attend)
            logits = self._logits(x[-1:] if last else x)
        return logits, [(keys[:, :end], values[:, :end]) for keys, values in caches]

    def step(self, ids: NDArray[np.intp], rows: Rows) -> Floats:
        """Read one more token in each row; return logits [rows, vocabulary] and let the caches grow."""
        rows.grow()
        every = np.arange(len(ids))

        def attend(index: int, q: Floats, k: Floats, v: Floats) -> Floats:
            keys, values = rows.caches[index]
            keys[every, :, rows.lengths] = k[:, :, 0]
            values[every, :, rows.lengths] = v[:, :, 0]
            return _attend(q, keys, values, rows.mask)

        with _one_thread():
            logits = self._logits(self._forward(ids, rows.lengths, attend))
        rows.lengths += 1
        return logits

    def _forward(self, ids: NDArray[np.intp], positions: NDArray[np.intp], attend: Attend) -> Floats:
        """What the layers make [rows, 1, width] of tokens `ids` [rows] at `positions` [rows]."""
        count = len(ids)
        turn = (self.cos[positions][:, None, None], self.sin[positions][:, None, None])
        # The axis of length 1 makes numpy multiply every row on its own.
        x: Floats = self.embedding[ids][:, None]
        for index, layer in enumerate(self.layers):
            split = (self._norm(x) @ layer.qkv).reshape(count, 3, self.heads, 1, self.head_width)
            mixed = attend(index, self._turn(split[:, 0], *turn), self._turn(split[:, 1], *turn), split[:, 2])
            x = x + mixed.reshape(count, 1, self.width) @ layer.out
            x = x + _gated(self._norm(x) @ layer.gate_up) @ layer.down
        return x

    def _logits(self, x: Floats) -> Floats:
        logits: Floats = (self._norm(x) @ self.head)[:, 0, : self.vocabulary]
        return logits

    def _room(self, length: int) -> tuple[Floats, Floats]:
        """Empty keys and values of one layer for at least `length` positions."""
        shape = (self.heads, _rounded_up(length, BLOCK), self.head_width)
        return np.zeros(shape, np.float32), np.zeros(shape, np.float32)

    def _norm(self, x: Floats) -> Floats:
        square = np.einsum("...d,...d->...", x, x)[..., None] / np.float32(self.width)
        result: Floats = x / np.sqrt(square + self.epsilon)
        return result

    def _turn(self, x: Floats, cos: Floats, sin: Floats) -> Floats:
        half = self.head_width // 2
        a, b = x[..., :half], x[..., half:]
        return np.concatenate((a * cos - b * sin, b * cos + a * sin), -1)


class Rows:
    """Caches of rows that are being continued: room that grows, a length each, and what may be attended to."""

    def __init__(self, starts: Sequence[Caches]) -> None:
        self.lengths = np.array([start[0][0].shape[1] for start in starts])
        room = _rounded_up(int(self.lengths.max()) + 1, BLOCK)
        heads, _, width = starts[0][0][0].shape
        shape = (len(starts), heads, room, width)
        self.caches: Caches = [(np.zeros(shape, np.float32), np.zeros(shape, np.float32)) for _ in starts[0]]
        for row, start in enumerate(starts):
            for mine, given in zip(self.caches, start, strict=True):
                mine[0][row, :, : self.lengths[row]] = given[0]
                mine[1][row, :, : self.lengths[row]] = given[1]
        self.mask: Floats = np.empty(0, np.float32)

    def grow(self) -> None:
        """Make room for one more token in each row, and open the mask up to it."""
        room = _rounded_up(int(self.lengths.max()) + 1, BLOCK)
        missing = room - self.caches[0][0].shape[2]
        if missing > 0:
            pad = ((0, 0), (0, 0), (0, missing), (0, 0))
            self.caches = [(np.pad(keys, pad), np.pad(values, pad)) for keys, values in self.caches]
        self.mask = _mask(self.lengths, self.caches[0][0].shape[2])

    def keep(self, kept: NDArray[np.bool_]) -> None:
        """Drop the rows that are not `kept`."""
        self.lengths = self.lengths[kept]
        self.caches = [(keys[kept], values[kept]) for keys, values in self.caches]


def _layer(weights: dict[str, Floats], prefix: str) -> Layer:
    def stacked(names: Sequence[str], gain: str | None = None) -> Floats:
        matrix = np.concatenate([weights[f"{prefix}{name}.weight"] for name in names])
        return np.ascontiguousarray((matrix * weights[f"{prefix}{gain}.weight"] if gain else matrix).T)

    return Layer(
        qkv=stacked([f"self_attn.{name}_proj" for name in "qkv"], "input_layernorm"),
        out=stacked(["self_attn.o_proj"]),
        gate_up=stacked(["mlp.gate_proj", "mlp.up_proj"], "post_attention_layernorm"),
        down=stacked(["mlp.down_proj"]),
    )


def _mask(positions: NDArray[np.intp], room: int) -> Floats:
    """What is added to the scores of rows at `positions` [rows]: [rows, 1, blocks, 1, BLOCK]."""
    seen = np.arange(room) <= positions[:, None]
    return np.where(seen, np.float32(0), np.float32(-1e9)).reshape(len(positions), 1, -1, 1, BLOCK)


def _attend_before(q: Floats, k: Floats, v: Floats, positions: NDArray[np.intp]) -> Floats:
    """`_attend` for rows of one text: rows of one block together, over the blocks up to theirs."""
    blocks = positions // BLOCK
    mixed = []
    for block in range(blocks[0], blocks[-1] + 1):
        inside = blocks == block
        room = (block + 1) * BLOCK
        mixed.append(_attend(q[inside], k[:, :room], v[:, :room], _mask(positions[inside], room)))
    return np.concatenate(mixed)


def _attend(q: Floats, k: Floats, v: Floats, mask: Floats) -> Floats:
    """Mix values by attention: queries [rows, heads, 1, width] over keys and values [..., heads, room, width]."""
    blocks = (*k.shape[:-2], k.shape[-2] // BLOCK, BLOCK, k.shape[-1])
    k, v = k.reshape(blocks), v.reshape(blocks)
    scores = (q * np.float32(q.shape[-1] ** -0.5))[:, :, None] @ k.swapaxes(-1, -2)
    scores += mask
    scores -= scores.max((-3, -1), keepdims=True)
    weights = np.exp(scores, out=scores)
    # A product with ones, because the order in which numpy's own sum adds is not ours.
    result: Floats = _added(weights @ v) / _added(weights @ np.ones((BLOCK, 1), np.float32))
    return result


def _added(parts: Floats) -> Floats:
    """Sum over the blocks, in their order: [..., blocks, 1, n] to [..., 1, n]."""
    total = parts[..., 0, :, :]
    for block in range(1, parts.shape[-3]):
        total = total + parts[..., block, :, :]
    return total


def _gated(x: Floats) -> Floats:
    half = x.shape[-1] // 2
    gate = x[..., :half]
    result: Floats = gate / (1 + np.exp(-gate)) * x[..., half:]
    return result


def _rounded_up(length: int, step: int) -> int:
    return -(-length // step) * step


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep BLAS to one thread for a while; threads that come together take turns.

    The number belongs to the whole process: of two that overlap, the first to leave would give the other more.
    """
    with _TURN, _blas().limit(limits=1, user_api="blas"):
        yield


@cache
def _blas() -> ThreadpoolController:
    return ThreadpoolController()
