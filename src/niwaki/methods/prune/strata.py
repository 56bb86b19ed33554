"""Strata: channels that may replace one another, and the tensor dimensions and chunks that they fill together."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from niwaki.graph import ChannelGroup, Channels

__all__ = ["Dimension", "Equality", "Layout", "Rules", "Stratum", "read_layout"]

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Rules:
    """How widths are rounded.

    Attributes:
        round_to: Multiple that dimensions are rounded to, at least 1; one below two multiples is not rounded.
        floor: Positions that a dimension keeps at least, at least ``round_to``.
        original: Shapes from which shares are counted: those before the first round.
        free: Dimensions without multiple and floor, such as the width of one group of a grouped convolution.
        widths: Dimensions to the positions that they keep at least.
    """

    round_to: int
    floor: int
    original: Shapes
    free: frozenset[tuple[str, int]] = frozenset()
    widths: Mapping[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Stratum:
    """Channels with the same number of positions in the same tensors and chunks.

    Attributes:
        group: Index of their group in ``Channels.groups``.
        classes: Their class ids.
        wished: How many channels the share 1 stands for: more than there are where a former round took some.
    """

    group: int
    classes: NDArray[np.int64]
    wished: float

    @property
    def size(self) -> int:
        """The number of channels."""
        return len(self.classes)


@dataclass(frozen=True)
class Dimension:
    """One dimension of one or more tensors, filled by strata.

    Attributes:
        size: Positions along it.
        fixed: Positions that stay whatever happens.
        widths: Stratum index to the positions of each of its channels.
        times: How many tensors have this same dimension.
        rounded: Whether its size is to be a multiple.
        least: Positions that stay at least.
    """

    size: int
    fixed: int
    widths: tuple[tuple[int, int], ...]
    times: int
    rounded: bool
    least: int


@dataclass(frozen=True)
class Equality:
    """A sum over strata that has to be 0: ``constant + sum(weight * kept)``."""

    weights: tuple[tuple[int, int], ...]
    constant: int


@dataclass(frozen=True)
class Layout:
    """Everything an allocation needs to know: strata, the dimensions they fill, the chunks that stay equal."""

    rules: Rules
    strata: tuple[Stratum, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    equalities: tuple[Equality, ...] = ()


@dataclass
class _Reader:
    channels: Channels
    rules: Rules
    marks: NDArray[np.int64]
    strata: list[Stratum] = field(default_factory=list)
    found: dict[tuple[int, int, int, tuple[tuple[int, int], ...], bool], int] = field(default_factory=dict)

    def read(self, index: int, group: ChannelGroup) -> None:
        members = self._add_strata(index, group)
        for (tensor, dim), widths in _widths(group).items():
            size = self.channels.traced.shapes[tensor][dim]
            parts = [(number, int(widths[channels[0]])) for number, channels in members if widths[channels[0]]]
            covered = sum(width * self.strata[number].size for number, width in parts)
            wanted = min(self.rules.widths.get((tensor, dim), 1), size)
            key = (size, wanted, size - covered, tuple(parts), (tensor, dim) not in self.rules.free)
            if parts:
                self.found[key] = self.found.get(key, 0) + 1

    def dimensions(self) -> Iterator[Dimension]:
        """Yield each dimension; one that something fixed or narrow fills as well is rounded where it is the only one.

        Narrow are channels of which there are fewer than one rounding step, all in a dimension of their own.
        """
        rules = self.rules
        large = {key for key in self.found if key[-1] and key[0] >= 2 * rules.round_to}
        narrow = {key[3][0][0] for key in self.found if key[-1] and key[0] < rules.round_to and len(key[3]) == 1}
        odd = {key for key in large if key[2] or narrow.intersection(number for number, _ in key[3])}
        full = {number for _, _, _, widths, _ in large - odd for number, _ in widths}
        for key, times in self.found.items():
            size, wanted, fixed, widths, bound = key
            rounded = key in large and not (key in odd and any(number in full for number, _ in widths))
            least = max(wanted, min(rules.floor, size) if bound and size >= rules.round_to else 1)
            yield Dimension(size, fixed, widths, times, rounded, least)

    def _add_strata(self, index: int, group: ChannelGroup) -> list[tuple[int, NDArray[np.int64]]]:
        may_go = self.channels.removable[group.classes]
        keys = np.column_stack([group.strata, self.marks[group.classes]])
        _, labels = np.unique(keys, axis=0, return_inverse=True)
        scale = _scale(group, self.channels.traced.shapes, self.rules.original)
        members = []
        for label in dict.fromkeys(labels.ravel()[may_go].tolist()):
            channels = np.flatnonzero(may_go & (labels.ravel() == label))
            members.append((len(self.strata), channels))
            self.strata.append(Stratum(index, group.classes[channels], len(channels) * scale))
        return members


def read_layout(channels: Channels, rules: Rules) -> Layout:
    """Read strata, dimensions and chunks from the channel classes of a model.

    Args:
        channels: The channel classes.
        rules: How widths are rounded.

    Returns:
        The layout of all groups that can give something.
    """
    pieces = [piece for pieces in channels.equal_chunks for piece in pieces]
    count = len(channels.removable)
    marks = [np.bincount(piece[piece > 0], minlength=count) for piece in pieces]
    reader = _Reader(channels, rules, np.column_stack(marks) if marks else np.zeros((count, 0), dtype=np.int64))
    for index, group in enumerate(channels.groups):
        if group.reason is None:
            reader.read(index, group)
    return Layout(rules, tuple(reader.strata), tuple(reader.dimensions()), tuple(_equalities(channels, reader.strata)))


def _widths(group: ChannelGroup) -> dict[tuple[str, int], NDArray[np.int64]]:
    widths: dict[tuple[str, int], NDArray[np.int64]] = {}
    for piece in group.slices:
        own = np.fromiter((len(each) for each in piece.positions), dtype=np.int64, count=group.size)
        widths[piece.tensor, piece.dim] = widths.get((piece.tensor, piece.dim), 0) + own
    return widths


def _scale(group: ChannelGroup, shapes: Shapes, original: Shapes) -> float:
    first = group.slices[0]
    return original[first.tensor][first.dim] / shapes[first.tensor][first.dim]


def _equalities(channels: Channels, strata: list[Stratum]) -> Iterator[Equality]:
    home = np.full(len(channels.removable), -1)
    for number, stratum in enumerate(strata):
        home[stratum.classes] = number
    for first, *others in channels.equal_chunks:
        for other in others:
            weights = _places(home[first], strata)
            weights.subtract(_places(home[other], strata))
            constant = weights.pop(-1, 0)
            used = tuple((number, weight) for number, weight in weights.items() if weight)
            if used:
                yield Equality(used, constant)


def _places(homes: NDArray[np.int64], strata: list[Stratum]) -> Counter[int]:
    """Count how often a piece holds each channel of each stratum; under -1, the positions that stay."""
    numbers, times = np.unique(homes, return_counts=True)
    pairs = zip(numbers.tolist(), times.tolist(), strict=True)
    return Counter({number: time if number < 0 else time // strata[number].size for number, time in pairs})
