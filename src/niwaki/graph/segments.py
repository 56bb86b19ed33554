"""Reshapes as segments of equal product, and the collapse of labels that spread over several dimensions."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from niwaki.graph.call import Dims
from niwaki.graph.edges import Edges, Units

__all__ = ["collapse", "reshape_labels", "segments"]

LONGEST_CONSTANT = 4


def segments(before: tuple[int, ...], after: tuple[int, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Cut two shapes of one tensor into the smallest runs of dimensions of equal product; sizes of 1 are left out.

    Args:
        before: A shape without zeros.
        after: Another shape of as many elements.

    Yields:
        Dimensions of the first and of the second shape.

    Examples:
        >>> list(segments((2, 8, 4, 4), (2, 1, 128)))
        [([0], [0]), ([1, 2, 3], [2])]
    """
    left = [index for index, size in enumerate(before) if size != 1]
    right = [index for index, size in enumerate(after) if size != 1]
    while left and right:
        first, second = [left.pop(0)], [right.pop(0)]
        while (a := math.prod(before[i] for i in first)) != (b := math.prod(after[i] for i in second)):
            shorter = (first, left) if a < b else (second, right)
            shorter[0].append(shorter[1].pop(0))
        yield first, second


Whole = Callable[[int], bool]


def never(_width: int) -> bool:
    """Say of no width that what is that wide goes as a whole."""
    return False


def reshape_labels(
    edges: Edges, dims: Dims, before: tuple[int, ...], after: tuple[int, ...], whole: Whole = never
) -> Dims:
    """Carry labels through a reshape.

    Args:
        edges: Where the demands go.
        dims: Labels of the input.
        before: Its shape.
        after: The result's shape.
        whole: Tells of a width into which channels are split whether what is that wide goes as a whole, as a head may.

    Returns:
        Labels of the result.
    """
    result: Dims = [None] * len(after)
    if 0 in before:
        for units in dims:
            edges.freeze(units)
        return result
    for first, second in segments(before, after):
        if len(first) == len(second) == 1:
            result[second[0]] = dims[first[0]]
            continue
        chosen = _one_labelled(edges, dims, first)
        if chosen is None:
            continue
        shape = tuple(before[i] for i in first)
        spread = dims[chosen]
        assert spread is not None
        position = first.index(chosen)
        column = spread.reshape([-1 if i == position else 1 for i in range(len(shape))])
        full = np.broadcast_to(column, shape).reshape([after[i] for i in second])
        carrier, units = collapse(edges, full, whole)
        if carrier is not None:
            result[second[carrier]] = units
    return result


def _one_labelled(edges: Edges, dims: Dims, first: list[int]) -> int | None:
    """Return the labelled dimension with most units, and freeze the other ones."""
    sizes = {index: np.unique(units).size for index in first if (units := dims[index]) is not None}
    if not sizes:
        return None
    chosen = max(sizes, key=lambda index: sizes[index])
    for index in sizes:
        if index != chosen:
            edges.freeze(dims[index])
    return chosen


def collapse(edges: Edges, full: Units, whole: Whole = never) -> tuple[int | None, Units | None]:
    """Choose the dimension that carries labels spread over a whole tensor.

    Args:
        edges: Where the demands go.
        full: A unit for every element.
        whole: As for `reshape_labels`.

    Returns:
        The dimension and its labels. Where the labels vary along several, all elements that share a position on the
        chosen one are joined; along none, they are frozen.
    """
    varying = [dim for dim in range(full.ndim) if (full != full.take([0], axis=dim)).any()]
    if not varying:
        edges.freeze(full.reshape(-1)[:1])
        return None, None
    carrier = _carrier([full.shape[dim] for dim in varying], varying)
    outer = [dim for dim in varying if dim < carrier]
    heads = bool(outer) and whole(full.shape[carrier])
    if heads:
        carrier = outer[-1]
    rows = np.moveaxis(full, carrier, -1).reshape(-1, full.shape[carrier])
    distinct = np.unique(rows, axis=0) if len(varying) > 1 else rows[:1]
    units = edges.alike(distinct)
    if heads:
        edges.heads.append(units)
    return carrier, units


def _carrier(sizes: list[int], dims: list[int]) -> int:
    """Choose the last dimension that is no constant of the code, or else the longest.

    That is the width of attention heads, not their number, and the width of groups; but the channels of a pixel
    shuffle written as views, not its factors.
    """
    wide = [dim for dim, size in zip(dims, sizes, strict=True) if size > LONGEST_CONSTANT]
    longest = max(sizes)
    return wide[-1] if wide else [dim for dim, size in zip(dims, sizes, strict=True) if size == longest][-1]
