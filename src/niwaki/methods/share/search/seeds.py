"""The rows that a search begins with.

From random rows alone a search over thousands of filters does not come far: rows of half the filters, each a coin toss,
all look the same to means over so many. It begins with what heuristics choose, with blends of them, and with random
rows of many densities.
"""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pymoo.util.ref_dirs import get_reference_directions

from niwaki.methods.share.search.genome import drawn
from niwaki.methods.share.search.layer import Masks
from niwaki.methods.share.search.problem import Problem

__all__ = ["Ranks", "seed_rows", "unseeded_rows"]

Ranks = NDArray[np.float64]
"""``[rankings, N]`` in [0, 1): each filter's place in some rankings."""

_RANDOM_SHARE = 0.2
"""Of the rows a search begins with."""

_TRIES = 10
"""How often new random rows are looked for in place of repeated ones."""


def seed_rows(problem: Problem, ranked: Sequence[Ranks], count: int, chance: Generator) -> Masks:
    """Return the rows a search begins with.

    First each ranking's own choice, then blends: filters ordered by a weighted sum of their ranks. Where rates are free
    each comes at other densities. The rest is random, at densities spread over what is allowed.

    Args:
        problem: The problem.
        ranked: For each layer what `ranks` returns; empty for random rows alone.
        count: How many rows.
        chance: The source of chance.

    Returns:
        ``[count, genes]``, without repetition where there are as many rows.

    Examples:
        >>> from niwaki.methods.share.search.layer import SearchLayer
        >>> filters = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
        >>> problem = Problem((SearchLayer("a", filters, np.arange(8) // 4, 4, 4),), ("importance",))
        >>> ranked = [np.stack([np.arange(8), np.arange(8)[::-1]]) / 8]
        >>> rows = seed_rows(problem, ranked, 12, np.random.default_rng(0))
        >>> rows.sum(1).tolist(), np.flatnonzero(rows[0]).tolist(), np.flatnonzero(rows[1]).tolist()
        ([4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4], [0, 1, 2, 3], [4, 5, 6, 7])
    """
    names = len(ranked[0]) if ranked else 0
    informed = max(names, round(count * (1 - _RANDOM_SHARE))) if names else 0
    weights = _blends(names, informed)
    levels = _levels(problem, max(informed, count))
    rows = np.zeros((max(informed, count), len(problem)), bool)
    for number, (layer, part) in enumerate(zip(problem.layers, problem.slices, strict=True)):
        counts = np.round(layer.least + levels * (layer.most - layer.least)).astype(np.int64)
        rows[informed:, part] = drawn(counts[informed:], len(layer), chance)
        if informed:
            order = np.argsort(weights @ ranked[number], axis=1, kind="stable")
            np.put_along_axis(rows[:informed, part], order, np.arange(len(layer)) < counts[:informed, None], axis=1)
    return _distinct(problem, rows, count, chance)


def unseeded_rows(problem: Problem, count: int, chance: Generator) -> Masks:
    """Return rows of coin tosses, which the search's repair then puts right: what most searches begin with."""
    return chance.random((count, len(problem))) < 0.5


def _blends(names: int, count: int) -> NDArray[np.float64]:
    """Return weights for each name: every name alone, then mixtures spread evenly over all."""
    if names < 2:
        return np.ones((count, names))
    partitions = 2
    while len(found := get_reference_directions("das-dennis", names, n_partitions=partitions)) < count:
        partitions += 1
    inside = found[found.max(1) < 1]
    chosen = inside[np.linspace(0, len(inside) - 1, max(count - names, 0)).round().astype(int)]
    return np.concatenate([np.eye(names), chosen])


def _levels(problem: Problem, count: int) -> NDArray[np.float64]:
    """Return for each row how much of the allowed range it keeps; the golden ratio spreads any run of them evenly."""
    if all(layer.least == layer.most for layer in problem.layers):
        return np.zeros(count)
    levels: NDArray[np.float64] = (0.5 + np.arange(count, dtype=np.float64) * 0.6180339887498949) % 1
    return levels


def _distinct(problem: Problem, rows: Masks, count: int, chance: Generator) -> Masks:
    """Leave repeated rows out, and fill up with random ones as long as that finds new ones."""
    rows = _once(rows)[:count]
    for _ in range(_TRIES):
        missing = count - len(rows)
        if not missing:
            break
        levels, fill = chance.random(missing), np.zeros((missing, len(problem)), bool)
        for layer, part in zip(problem.layers, problem.slices, strict=True):
            counts = np.round(layer.least + levels * (layer.most - layer.least)).astype(np.int64)
            fill[:, part] = drawn(counts, len(layer), chance)
        rows = _once(np.concatenate([rows, fill]))
    return rows


def _once(rows: Masks) -> Masks:
    _, first = np.unique(np.packbits(rows, axis=1), axis=0, return_index=True)
    return rows[np.sort(first)]
