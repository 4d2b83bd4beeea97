"""Sampling as an exponential race whose noise belongs to (seed, position, token) and to nothing else.

Each token draws a waiting time Exp(1) from a hash of those three numbers and runs at the speed of its probability;
the first to arrive is taken. So two libraries can be compared under the same noise, and a request gives the same
reply alone and among others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Words = NDArray[np.uint64]

SHORTEST = 6e-8
"""Waiting times are kept away from 0, where the logarithm would let a token of any probability win."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MASK = (1 << 64) - 1


def mix(words: Words) -> Words:
    """Scramble 64-bit words: the finaliser of splitmix64."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def log_waits(seeds: Words, position: int, vocabulary: int) -> Doubles:
    """Logarithms of the waiting times [rows, vocabulary] at one position, counted from the first sampled token."""
    streams = mix(mix(seeds + GOLDEN) + np.uint64(position * int(GOLDEN) & MASK))
    words = mix(streams[:, None] + np.arange(1, vocabulary + 1, dtype=np.uint64) * GOLDEN)
    uniform = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    waits: Doubles = np.log(np.maximum(-np.log(uniform), SHORTEST))
    return waits


def log_softmax(logits: Floats) -> Floats:
    """Log-probabilities over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    result: Floats = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return result


def nucleus(scores: Doubles, top_p: float) -> Doubles:
    """Keep the fewest most likely tokens [vocabulary] whose probability reaches `top_p`; the rest become -inf."""
    probabilities = np.exp(scores - scores.max())
    # All tokens below this share together stay under 1 - top_p, so none of them is in; the rest are few to sort.
    likely = np.flatnonzero(probabilities * len(scores) >= (1 - top_p) * probabilities.sum())
    order = likely[np.argsort(-scores[likely], kind="stable")]
    sorted_ = probabilities[order]
    inside = order[np.cumsum(sorted_) - sorted_ < top_p * probabilities.sum()]
    kept = np.full_like(scores, -np.inf)
    kept[inside] = scores[inside]
    return kept


def choose(logprobs: Floats, temperatures: Doubles, top_ps: Doubles, seeds: Words, position: int) -> NDArray[np.intp]:
    """The next token of each row; temperature 0 takes the most likely one.

    `logprobs` is [rows, vocabulary]; temperatures are 0 or above, `top_ps` in (0, 1], both [rows].
    """
    greedy = temperatures <= 0
    scores = logprobs.astype(np.float64)
    if not greedy.all():
        scores /= np.where(greedy, 1.0, temperatures)[:, None]
        for row in np.flatnonzero((top_ps < 1) & ~greedy):
            scores[row] = nucleus(scores[row], float(top_ps[row]))
        scores -= np.where(greedy[:, None], 0.0, log_waits(seeds, position, logprobs.shape[1]))
    winners: NDArray[np.intp] = np.argmax(scores, axis=-1)
    return winners
