"""Allocation: how much each layer gives, rounded so that layers stay fast."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, gcd, lcm
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from niwaki.methods.prune.criteria import Scores
from niwaki.methods.prune.joint import JointProblem, Wishes
from niwaki.methods.prune.spreading import Spread, Spreading, spread
from niwaki.methods.prune.strata import Dimension, Layout, Stratum

__all__ = ["Allocation", "Block", "allocate"]

_TINY = 4  # a stratum of fewer channels can't keep a share of its own: its dimensions share the rounding error


class Block(Protocol):
    """Strata that are rounded together."""

    def counts(self, wishes: Wishes) -> dict[int, int]:
        """Return stratum index to channels kept, as near as may be to what every stratum should keep."""
        ...

    def larger(self, counts: dict[int, int]) -> dict[int, int]:
        """Return the next larger choice, or the same one where there is none."""
        ...


@dataclass(frozen=True)
class _Alone:
    """One stratum and the sizes it may have."""

    index: int
    sizes: tuple[int, ...]

    def counts(self, wishes: Wishes) -> dict[int, int]:
        target = wishes[self.index]
        return {self.index: min(self.sizes, key=lambda size: (abs(size - target), size))}

    def larger(self, counts: dict[int, int]) -> dict[int, int]:
        return {self.index: next((size for size in self.sizes if size > counts[self.index]), counts[self.index])}


@dataclass(frozen=True, eq=False)
class Allocation:
    """How a share of the channels is turned into channels that stay.

    Attributes:
        layout: Strata, dimensions and chunks.
        blocks: The strata that are rounded together.
        scores: One score for each class, ``[classes]``.
        stuck: Stratum index to the reason why it stays whole at every share.
        spread: How a share is spread over the strata.
    """

    layout: Layout
    blocks: tuple[Block, ...]
    scores: Scores
    stuck: dict[int, str]
    spread: Spread

    def counts(self, share: float) -> list[dict[int, int]]:
        """Return what each block keeps at a share.

        Args:
            share: Share of the channels that is to stay, in [0, 1]; 0 gives the smallest widths allowed.

        Returns:
            For each block, stratum index to channels kept.
        """
        wishes = self.spread.wishes(share).tolist()
        return [block.counts(wishes) for block in self.blocks]

    def keep(self, counts: Iterable[dict[int, int]]) -> NDArray[np.bool_]:
        """Choose the channels: in each stratum those with the highest scores.

        Args:
            counts: For each block, stratum index to channels kept.

        Returns:
            By class id, whether the class stays, ``[classes]``.
        """
        stays = np.ones(len(self.scores), dtype=np.bool_)
        for block in counts:
            for index, count in block.items():
                classes = self.layout.strata[index].classes
                order = np.argsort(self.scores[classes], kind="stable")
                stays[classes[order[: len(classes) - count]]] = False
        return stays

    def ahead(self, block: dict[int, int], share: float) -> float:
        """Return how much more of its channels a block keeps than a share asks for; negative where it keeps less."""
        wishes = self.spread.wishes(share)
        more = sum(count - wishes[index] for index, count in block.items())
        return float(more / sum(self.layout.strata[index].wished for index in block))

    def reasons(self) -> NDArray[np.object_]:
        """Return, by class id, why the class is out of reach, or an empty text."""
        found = np.full(len(self.scores), "", dtype=object)
        for index, reason in self.stuck.items():
            found[self.layout.strata[index].classes] = reason
        return found

    def free_channels(self, counts: Iterable[dict[int, int]]) -> int:
        """Count the channels kept in the strata that can give some.

        Args:
            counts: For each block, stratum index to channels kept.

        Returns:
            Their number; of these the budget's ``channels`` is a fraction.
        """
        return sum(count for block in counts for index, count in block.items() if index not in self.stuck)


def allocate(layout: Layout, scores: Scores, spreading: Spreading = "uniform") -> Allocation:
    """Find which strata can be rounded alone and which only together.

    Args:
        layout: Strata, dimensions and chunks.
        scores: One score for each class, ``[classes]``.
        spreading: How a share is spread over the strata.

    Returns:
        The allocation.
    """
    homes = _dimensions_of(layout)
    steps = [_step(layout, number, homes[number]) for number in range(len(layout.strata))]
    tied = _tied(layout, steps)
    blocks: list[Block] = []
    for members in _components(layout, tied):
        if len(members) == 1 and members[0] not in tied:
            (number,) = members
            blocks.append(_alone(number, layout.strata[number], steps[number]))
        else:
            blocks.append(_joint(layout, members, scores))
    stuck = {}
    nothing = [0.0] * len(layout.strata)
    for block in blocks:
        for index, count in block.counts(nothing).items():
            if count == layout.strata[index].size:
                stuck[index] = _why_stuck(layout, index, steps[index])
    return Allocation(layout, tuple(blocks), scores, stuck, spread(spreading, layout, scores))


@dataclass(frozen=True)
class _Step:
    """How a stratum is rounded where it stands alone."""

    unit: int
    least: int
    small: bool


def _step(layout: Layout, number: int, homes: list[Dimension]) -> _Step:
    round_to, size = layout.rules.round_to, layout.strata[number].size
    unit, least, rounded = 1, 1, False
    for dimension in homes:
        width = dict(dimension.widths)[number]
        least = max(least, ceil((dimension.least - dimension.fixed) / width))
        if dimension.rounded:
            rounded = True
            unit = lcm(unit, round_to // gcd(round_to, width))
    return _Step(unit, max(unit, least), not rounded or size < 2 * unit)


def _dimensions_of(layout: Layout) -> list[list[Dimension]]:
    homes: list[list[Dimension]] = [[] for _ in layout.strata]
    for dimension in layout.dimensions:
        for number, _ in dimension.widths:
            homes[number].append(dimension)
    return homes


def _tied(layout: Layout, steps: list[_Step]) -> set[int]:
    """Return the strata that can't be rounded alone."""
    tied = {number for equality in layout.equalities for number, _ in equality.weights}
    for dimension in layout.dimensions:
        numbers = [number for number, _ in dimension.widths]
        sizes = [layout.strata[number].size for number in numbers]
        poor = any(steps[number].small for number in numbers) or min(sizes) < _TINY
        if dimension.rounded and (dimension.fixed or (len(numbers) > 1 and poor)):
            tied.update(numbers)
    return _spread(layout, tied)


def _spread(layout: Layout, tied: set[int]) -> set[int]:
    """Add the strata that share a rounded dimension with one that can't be rounded alone."""
    before = -1
    while len(tied) > before:
        before = len(tied)
        for dimension in layout.dimensions:
            numbers = {number for number, _ in dimension.widths}
            if dimension.rounded and tied & numbers:
                tied |= numbers
    return tied


def _components(layout: Layout, tied: set[int]) -> list[list[int]]:
    count = len(layout.strata)
    pairs = [(a, b) for each in layout.equalities for (a, _), (b, _) in pairwise(each.weights)]
    for dimension in layout.dimensions:
        numbers = [number for number, _ in dimension.widths if number in tied]
        pairs += list(pairwise(numbers)) if dimension.rounded else []
    rows, columns = ([pair[side] for pair in pairs] for side in (0, 1))
    graph = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(count, count))
    _, labels = connected_components(graph, directed=False)
    members: dict[int, list[int]] = {}
    for number, label in enumerate(labels.tolist()):
        members.setdefault(label, []).append(number)
    return list(members.values())


def _alone(number: int, stratum: Stratum, step: _Step) -> _Alone:
    multiples = () if step.small else range(step.unit, stratum.size, step.unit)
    sizes = tuple(size for size in multiples if size >= step.least)
    return _Alone(number, (*sizes, stratum.size))


def _joint(layout: Layout, members: list[int], scores: Scores) -> JointProblem:
    chosen = set(members)
    strata = {number: layout.strata[number] for number in members}
    return JointProblem(
        strata,
        tuple(each for each in layout.dimensions if chosen.issuperset(number for number, _ in each.widths)),
        tuple(each for each in layout.equalities if chosen.intersection(number for number, _ in each.weights)),
        {number: float(scores[stratum.classes].mean()) for number, stratum in strata.items()},
        layout.rules.round_to,
    )


def _why_stuck(layout: Layout, index: int, step: _Step) -> str:
    rules, size = layout.rules, layout.strata[index].size
    if step.small:
        return f"its {size} channels are fewer than two rounding steps of {rules.round_to}"
    if step.least >= size:
        return f"its {size} channels are not above the floor of {rules.floor}"
    return f"no smaller width keeps its chunks equal and its layers multiples of {rules.round_to}"
