"""Minibatches: every problem once an epoch, in a new order each time; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")


class Sampler(Protocol):
    """Says which problems a proposal is made from."""

    def __call__(self, count: int, size: int, number: int, seed: int) -> tuple[int, ...]:
        """Return the positions (0..count-1) of the problems of minibatch `number`, counted over the whole run."""
        ...


def epoch_shuffled(count: int, size: int, number: int, seed: int) -> tuple[int, ...]:
    """Return minibatch `number` of a run: consecutive slices of an order that is drawn anew every epoch.

    An epoch is padded to whole minibatches with the problems that it holds least often. A function of its arguments
    alone, so a run that is repeated draws the same, whatever happened in between.
    """
    per_epoch = -(-count // size)
    epoch, place = divmod(number, per_epoch)
    order = padded(range(count), size, Random(f"{seed}/minibatch/{epoch}"))
    return tuple(order[place * size : (place + 1) * size])


def padded(items: Sequence[T], size: int, rng: Random) -> list[T]:
    """Return the items shuffled, then those that occur least often, latest first, until whole minibatches are full."""
    order = list(items)
    rng.shuffle(order)
    counts = Counter(order)
    while len(order) % size:
        item = counts.most_common()[-1][0]
        order.append(item)
        counts[item] += 1
    return order
