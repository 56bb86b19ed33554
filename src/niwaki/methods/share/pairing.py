"""Two networks laid side by side: which channel groups of one answer to which of the other, through their layers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niwaki.graph import ChannelGroup, Channels
from niwaki.methods.share.layers import Layer

__all__ = ["Pair", "Side", "pair_groups"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Side:
    """One dimension of a convolution's weight in both networks.

    Attributes:
        first: Module in the reference.
        second: Module in the other network.
        dim: 0 for filters, 1 for input channels.
        channels: For each position, its channel in the reference's group; -1 where it stays.
        others: The same in the other network's group.
    """

    first: str
    second: str
    dim: int
    channels: Ints
    others: Ints


@dataclass(frozen=True, eq=False)
class Pair:
    """A group of the other network and the one of the reference that it is to be like.

    Attributes:
        first: The reference's group.
        second: The other network's.
        sides: Where both lie in matched convolutions, filters before input channels, in program order.
    """

    first: ChannelGroup
    second: ChannelGroup
    sides: tuple[Side, ...]


def pair_groups(channels: Channels, layers: Sequence[Layer], reference: str, network: str) -> tuple[Pair, ...]:
    """Find which groups answer to which.

    Args:
        channels: Channels of all networks.
        layers: Matched convolutions.
        reference: Name of the network whose order is kept.
        network: Name of the other.

    Returns:
        The pairs, in the order in which programs make their channels; groups of different make are left out.
    """
    home = {
        int(number): (group, place)
        for group in channels.groups
        if group.reason is None
        for place, number in enumerate(group.classes)
    }
    found: dict[int, list[Side]] = {}
    groups: dict[int, tuple[ChannelGroup, ChannelGroup]] = {}
    for layer in layers:
        members = {each.network: each.module for each in layer.members}
        if reference not in members or network not in members:
            continue
        for dim in (0, 1):
            sides = [_places(channels, members[name], dim, home) for name in (reference, network)]
            (one, here), (other, there) = sides
            if one is None or other is None or not _alike(one, other) or here.size != there.size:
                continue
            known = groups.setdefault(id(other), (one, other))
            if known[0] is one:
                side = Side(members[reference], members[network], dim, here, there)
                found.setdefault(id(other), []).append(side)
    ordered = (tuple(sorted(found[key], key=lambda side: side.dim)) for key in groups if key in found)
    return tuple(
        Pair(*groups[key], sides) for key, sides in zip([key for key in groups if key in found], ordered, strict=True)
    )


def _places(
    channels: Channels, module: str, dim: int, home: dict[int, tuple[ChannelGroup, int]]
) -> tuple[ChannelGroup | None, Ints]:
    """Return the group that a dimension's channels lie in, and their places in it."""
    name = channels.traced.names[f"{module}.weight"]
    size, classes = channels.traced.shapes[name][dim], channels.tensors[name][dim]
    if classes is None:
        return None, np.full(size, -1)
    known = [home.get(int(number)) for number in classes]
    groups = {id(each[0]): each[0] for each in known if each is not None}
    places = np.array([-1 if each is None else each[1] for each in known], dtype=np.int64)
    several = np.unique(places[places >= 0]).size < (places >= 0).sum()
    return (next(iter(groups.values())), places) if len(groups) == 1 and not several else (None, places)


def _alike(one: ChannelGroup, other: ChannelGroup) -> bool:
    return one is not other and one.size == other.size and bool((one.strata == other.strata).all())
