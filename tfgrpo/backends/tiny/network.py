"""The Llama forward pass in numpy: one prompt at a time, then many rows one token at a time.

Rows never share a matrix product. BLAS rounds a product of several rows differently from one row, so a row that is
multiplied alone has the same bits in every batch; for matrices this small it is no slower.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from tfgrpo.backends.tiny.sampling import Floats

Caches = list[tuple[Floats, Floats]]
"""Keys and values of each layer, [heads, time, head width]; positions are already turned into the keys."""
CHUNK = 32
"""Caches grow in steps of this many tokens; longer sums than needed end in exact zeros, so rounding stays the same."""


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
        self.head = np.ascontiguousarray((self.embedding * weights["model.norm.weight"]).T)
        self.layers = [_layer(weights, f"model.layers.{index}.") for index in range(config["num_hidden_layers"])]
        self.head_width = self.width // self.heads
        half = np.arange(0, self.head_width, 2) / self.head_width
        angles = np.arange(self.longest)[:, None] * (config["rope_theta"] ** -half)[None]
        self.cos: Floats = np.cos(angles).astype(np.float32)
        self.sin: Floats = np.sin(angles).astype(np.float32)

    def prefill(self, ids: Sequence[int], before: Caches | None = None) -> tuple[Floats, Caches]:
        """Read `ids` after what `before` holds; return logits [len(ids), vocabulary] and the caches of everything."""
        start = before[0][0].shape[1] if before else 0
        time = len(ids)
        turn = (self.cos[start : start + time], self.sin[start : start + time])
        mask = np.triu(np.full((time, start + time), -1e9, np.float32), start + 1)
        x = self.embedding[np.asarray(ids)]
        caches: Caches = []
        for index, layer in enumerate(self.layers):
            split = (self._norm(x) @ layer.qkv).reshape(time, 3, self.heads, self.head_width)
            q, k, v = split.transpose(1, 2, 0, 3)
            k = self._turn(k, *turn)
            if before:
                k, v = (np.concatenate(pair, 1) for pair in zip(before[index], (k, v), strict=True))
            caches.append((k, v))
            mixed = _attend(self._turn(q, *turn), k, v, mask)
            x = x + mixed.transpose(1, 0, 2).reshape(time, self.width) @ layer.out
            x = x + _gated(self._norm(x) @ layer.gate_up) @ layer.down
        return self._norm(x) @ self.head, caches

    def step(self, ids: NDArray[np.intp], rows: Rows) -> Floats:
        """Read one more token in each row; return logits [rows, vocabulary] and let the caches grow."""
        count = len(ids)
        rows.grow()
        turn = (self.cos[rows.lengths][:, None, None], self.sin[rows.lengths][:, None, None])
        # The axis of length 1 makes numpy multiply every row on its own.
        x = self.embedding[ids][:, None]
        every = np.arange(count)
        for layer, (keys, values) in zip(self.layers, rows.caches, strict=True):
            split = (self._norm(x) @ layer.qkv).reshape(count, 3, self.heads, 1, self.head_width)
            keys[every, :, rows.lengths] = self._turn(split[:, 1], *turn)[:, :, 0]
            values[every, :, rows.lengths] = split[:, 2, :, 0]
            mixed = _attend(self._turn(split[:, 0], *turn), keys, values, rows.mask)
            x = x + mixed.reshape(count, 1, self.width) @ layer.out
            x = x + _gated(self._norm(x) @ layer.gate_up) @ layer.down
        rows.lengths += 1
        logits: Floats = (self._norm(x) @ self.head)[:, 0]
        return logits

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
        room = _rounded_up(int(self.lengths.max()) + 1)
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
        room = _rounded_up(int(self.lengths.max()) + 1)
        missing = room - self.caches[0][0].shape[2]
        if missing > 0:
            pad = ((0, 0), (0, 0), (0, missing), (0, 0))
            self.caches = [(np.pad(keys, pad), np.pad(values, pad)) for keys, values in self.caches]
        open_ = np.arange(self.caches[0][0].shape[2]) <= self.lengths[:, None]
        self.mask = np.where(open_, np.float32(0), np.float32(-1e9))[:, None, None]

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


def _attend(q: Floats, k: Floats, v: Floats, mask: Floats) -> Floats:
    """Mix values by attention; the last two axes are time and head width."""
    scores = q @ k.swapaxes(-1, -2) * np.float32(q.shape[-1] ** -0.5) + mask
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    # A product with ones adds in one fixed order; the usual sum groups its terms by the length of the cache.
    total = weights @ np.ones((weights.shape[-1], 1), np.float32)
    result: Floats = (weights @ v) / total
    return result


def _gated(x: Floats) -> Floats:
    half = x.shape[-1] // 2
    gate = x[..., :half]
    result: Floats = gate / (1 + np.exp(-gate)) * x[..., half:]
    return result


def _rounded_up(length: int) -> int:
    return -(-length // CHUNK) * CHUNK
