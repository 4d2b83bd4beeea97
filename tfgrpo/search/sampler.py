"""Minibatches: every problem once an epoch in a new order each time, and, ours, more often those still lost; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class MinibatchRequest:
    """What a minibatch is drawn for."""

    count: int
    """Learning problems."""
    size: int
    """Problems of a minibatch."""
    number: int
    """Minibatches drawn before, over the whole run."""
    place: int
    """Minibatches drawn before in this step."""
    seed: int
    lost: Collection[int] = ()
    """Positions of problems whose newest rollouts were not all perfect."""


class Sampler(Protocol):
    """Says which problems a proposal is made from."""

    def __call__(self, draw: MinibatchRequest) -> tuple[int, ...]:
        """Return positions (0..count-1) of the problems of one minibatch; the same for the same draw."""
        ...


def epoch_shuffled(draw: MinibatchRequest) -> tuple[int, ...]:
    """Return consecutive slices of an order that is drawn anew every epoch (GEPA).

    An epoch is padded to whole minibatches with the problems that it holds least often.
    """
    per_epoch = -(-draw.count // draw.size)
    epoch, place = divmod(draw.number, per_epoch)
    order = shuffled_to_multiple(range(draw.count), draw.size, Random(f"{draw.seed}/minibatch/{epoch}"))
    return tuple(order[place * draw.size : (place + 1) * draw.size])


def lost_too(draw: MinibatchRequest) -> tuple[int, ...]:
    """Return every second minibatch from the problems still lost, the others as `epoch_shuffled` does.

    Late in a search most problems are solved, and a minibatch of solved problems teaches nothing. Those still lost come
    in turn, in a new order each round; solved ones fill up a minibatch where too few are lost.
    """
    if draw.place % 2 == 0 or not draw.lost:
        return epoch_shuffled(draw)
    lost = sorted(draw.lost)
    start = draw.place // 2 * draw.size
    turns = range(start // len(lost), (start + draw.size) // len(lost) + 1)
    cycle = [
        i
        for turn in turns
        for i in shuffled_to_multiple(lost, 1, Random(f"{draw.seed}/lost/{draw.number - draw.place}/{turn}"))
    ]
    first = start % len(lost)
    found = tuple(dict.fromkeys(cycle[first : first + draw.size]))
    rest = [i for i in epoch_shuffled(draw) if i not in found]
    return (*found, *rest)[: draw.size]


def shuffled_to_multiple(items: Sequence[T], size: int, rng: Random) -> list[T]:
    """Return the items shuffled, then those that occur least often, latest first, until whole minibatches are full."""
    order = list(items)
    rng.shuffle(order)
    counts = Counter(order)
    while len(order) % size:
        item = counts.most_common()[-1][0]
        order.append(item)
        counts[item] += 1
    return order
