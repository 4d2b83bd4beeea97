"""A Llama of 4 layers whose first heads already know how to look things up when training starts.

From random weights the look-up circuits (find where a token occurred before, read what followed it) appear late
and by luck; started in place, they are there within a million tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

ROPE_BASE = 10000.0
NORM_EPSILON = 1e-5
CONSTANT = 0.15
"""Value of embedding dimension 0 at the start: RoPE and RMSNorm leave no constant direction of their own."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network."""

    vocabulary: int
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 320

    @property
    def head_width(self) -> int:
        """Dimensions of one head."""
        return self.width // self.heads


class Norm(nn.Module):
    """RMSNorm in the precision of its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return functional.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), NORM_EPSILON)


def linear(inputs: int, outputs: int, scale: float = 1.0) -> nn.Linear:
    """A projection without bias."""
    layer = nn.Linear(inputs, outputs, bias=False)
    nn.init.normal_(layer.weight, std=0.7 * scale / math.sqrt(inputs))
    return layer


class Attention(nn.Module):
    """Causal attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj = linear(shape.width, shape.width)
        self.k_proj = linear(shape.width, shape.width)
        self.v_proj = linear(shape.width, shape.width)
        self.o_proj = linear(shape.width, shape.width, 1 / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Attend; `x` is [batch, time, width], `mask` is [time, time] and added to the scores."""
        batch, time, width = x.shape
        heads = batch * self.shape.heads
        q, k, v = (
            project(x).view(batch, time, self.shape.heads, -1).transpose(1, 2)
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q = rotate(q, rotation).reshape(heads, time, -1)
        k = rotate(k, rotation).reshape(heads, time, -1)
        # Written out, because this is faster on a CPU in bfloat16 than the backward pass of the fused kernel.
        mask = mask.to(q.dtype).expand(heads, time, time)
        scores = torch.baddbmm(mask, q, k.transpose(1, 2), alpha=self.shape.head_width**-0.5)
        mixed = scores.softmax(-1, dtype=q.dtype) @ v.reshape(heads, time, -1)
        return self.o_proj(mixed.view(batch, self.shape.heads, time, -1).transpose(1, 2).reshape(batch, time, width))


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair of dimensions by its position; `x` is [batch, heads, time, head width]."""
    cos, sin = rotation
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Mlp(nn.Module):
    """The gated feed-forward part."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = linear(shape.width, shape.hidden)
        self.up_proj = linear(shape.width, shape.hidden)
        self.down_proj = linear(shape.hidden, shape.width, 1 / math.sqrt(2 * shape.layers))

    def forward(self, x: Tensor) -> Tensor:
        """Apply to each position."""
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    """One layer; attribute names are those of a Llama checkpoint."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = Norm(shape.width)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = Norm(shape.width)
        self.mlp = Mlp(shape)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], mask: Tensor) -> Tensor:
        """Apply attention and feed-forward, each beside the residual stream."""
        x = x + self.self_attn(self.input_layernorm(x), rotation, mask)
        return x + self.mlp(self.post_attention_layernorm(x))


class Body(nn.Module):
    """Embedding, layers and last norm."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        nn.init.normal_(self.embed_tokens.weight, std=0.05)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = Norm(shape.width)


class Network(nn.Module):
    """The language model; the output matrix is the embedding."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Body(shape)

    def forward(self, ids: Tensor) -> Tensor:
        """Last hidden states [batch, time, width] of token ids [batch, time]."""
        time = ids.shape[1]
        half = torch.arange(0, self.shape.head_width, 2) / self.shape.head_width
        angles = torch.arange(time)[:, None] * (ROPE_BASE**-half)[None]
        kind = torch.bfloat16 if torch.is_autocast_enabled("cpu") else torch.float32
        angles = torch.cat((angles, angles), -1)
        rotation = (angles.cos().to(kind), angles.sin().to(kind))
        mask = torch.full((time, time), -1e4).triu(1)
        x = self.model.embed_tokens(ids)
        for block in self.model.layers:
            x = block(x, rotation, mask)
        return self.model.norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary."""
        return functional.linear(hidden, self.model.embed_tokens.weight)


@dataclass(frozen=True, slots=True)
class Landmarks:
    """Token ids that the circuits know by sight."""

    aliases: tuple[tuple[int, int], ...]
    """Pairs that mean the same number, `[37]` and ` 37`: they start half equal."""
    numbers: tuple[int, ...]
    """Tokens `(1) ` to `(9) `, which begin the lines of a group."""


@torch.no_grad()
def place_circuits(network: Network, tokens: Landmarks) -> None:
    """Put the look-up circuits into a fresh network of at least four heads of width 32.

    Layer 0: heads 0, 1, 2 read the token 1, 2, 3 places back. Layer 1: head 0 finds where the present token stood
    before and reads what followed; head 2 does so for the token two back; head 3 finds the same place as head 0,
    rather where the previous token stands too, and reads the token three before it, the id of a lesson. For groups,
    head 3 of layer 0 reads the number of the line, and head 1 of layer 1 looks up like head 0, but in the line of the
    same number.
    """
    embedding = network.model.embed_tokens.weight
    for one, other in tokens.aliases:
        shared = torch.randn(embedding.shape[1]) * 0.05
        embedding[one] = (embedding[one] + shared) / math.sqrt(2)
        embedding[other] = (embedding[other] + shared) / math.sqrt(2)
    embedding[:, 0] = CONSTANT
    embedding[:, 1] = 0
    embedding[list(tokens.numbers), 1] = 2 * CONSTANT
    first = network.model.layers[0].self_attn
    second = network.model.layers[1].self_attn
    width = network.shape.head_width
    for head, distance in enumerate((1, 2, 3)):
        _look_back(first, slice(head * width, (head + 1) * width), distance)
    for head, source in enumerate((0, 0, 2)):
        _look_up(first, second, head, source)
    _read_three_before(first, second)
    _read_number(first)
    _match_number(first, second)


def _look_back(attention: Attention, head: slice, distance: int) -> None:
    """Attend a fixed distance back: constant keys, and queries that are turned by that distance."""
    width = attention.shape.head_width
    frequencies = ROPE_BASE ** (-torch.arange(0, width, 2) / width)
    strength = torch.full((width // 2,), 5.5 / 2.9)
    attention.q_proj.weight[head] *= 0.2
    attention.k_proj.weight[head] *= 0.2
    attention.k_proj.weight[head, 0] = torch.cat((strength, torch.zeros(width // 2)))
    turned = (strength * torch.cos(frequencies * distance), -strength * torch.sin(frequencies * distance))
    attention.q_proj.weight[head, 0] = torch.cat(turned)


def _carried(attention: Attention, source: int) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors of what head `source` carries: read as rows of the third, written as columns of the first."""
    width = attention.shape.head_width
    part = slice(source * width, (source + 1) * width)
    return torch.linalg.svd(attention.o_proj.weight[:, part] @ attention.v_proj.weight[part])


def _look_up(first: Attention, second: Attention, head: int, source: int) -> None:
    """Attend to places whose carried token is the present token, and copy what stands there."""
    width = first.shape.head_width
    part = slice(head * width, (head + 1) * width)
    written, _, read = _carried(first, source)
    mix = 1.3 * torch.linalg.qr(torch.randn(width, width))[0]
    second.q_proj.weight[part] = mix @ read[:width]
    second.k_proj.weight[part] = mix @ written[:, :width].T
    second.q_proj.weight[part, 0] = 0
    second.k_proj.weight[part, 0] = 0
    copied = torch.linalg.qr(torch.randn(first.shape.width, width))[0]
    second.v_proj.weight[part] = copied.T
    second.o_proj.weight[:, part] = 0.5 * copied


def _read_three_before(first: Attention, second: Attention) -> None:
    """Let head 3 of layer 1 match like head 0 and copy the token that layer 0 carried there from three back.

    Half as strongly it also matches the token before the present one with the token that stands there: of two lines on
    a topic, the one that says what was just said.
    """
    width = first.shape.head_width
    part = slice(3 * width, 4 * width)
    second.q_proj.weight[part] = second.q_proj.weight[:width]
    second.k_proj.weight[part] = second.k_proj.weight[:width]
    before, _, seen = _carried(first, 0)
    mix = 0.65 * torch.linalg.qr(torch.randn(width, width))[0]
    second.q_proj.weight[part] += mix @ before[:, :width].T
    second.k_proj.weight[part] += mix @ seen[:width]
    written, strength, read = _carried(first, 2)
    second.v_proj.weight[part] = (written[:, :width] / strength[:width].clamp(min=0.1)).T
    second.o_proj.weight[:, part] = 0.5 * read[:width].T


def _read_number(first: Attention) -> None:
    """Let head 3 of layer 0 carry the number of the line.

    Dimension 1 marks numbers. Of several the nearest wins, because the keys turn with wavelengths between 20 and
    110 tokens and fit best four places back.
    """
    width = first.shape.head_width
    part = slice(3 * width, 4 * width)
    frequencies = ROPE_BASE ** (-torch.arange(0, width, 2) / width)
    strength = torch.zeros(width // 2)
    strength[2:7] = 1.6
    turned = (strength * torch.cos(4 * frequencies), -strength * torch.sin(4 * frequencies))
    first.q_proj.weight[part] *= 0.2
    first.k_proj.weight[part] *= 0.2
    first.k_proj.weight[part, 1] = torch.cat((strength, torch.zeros(width // 2)))
    first.q_proj.weight[part, 0] = torch.cat(turned)


def _match_number(first: Attention, second: Attention) -> None:
    """Let head 1 of layer 1 prefer places whose line has the number of this line."""
    width = first.shape.head_width
    part = slice(width, 2 * width)
    written = _carried(first, 3)[0][:, :width].T
    # Lines are far apart, so both matches of this head rest on the dimensions that turn slowly.
    slow = torch.linspace(0, 1, width // 2).repeat(2)[:, None]
    second.q_proj.weight[part] *= 1.6 * slow
    second.k_proj.weight[part] *= 1.6 * slow
    mix = 1.3 * slow * torch.linalg.qr(torch.randn(width, width))[0]
    second.q_proj.weight[part] += mix @ written
    second.k_proj.weight[part] += mix @ written
