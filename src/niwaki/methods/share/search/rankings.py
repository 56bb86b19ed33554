"""Heuristics that rank a layer's filters: the first K of a ranking are its choice of K.

They seed the search, and each is a selection of its own.
"""

import heapq
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from niwaki.methods.share.search.layer import SearchLayer
from niwaki.registry import Registry

__all__ = [
    "Order",
    "Ranking",
    "by_distance",
    "by_mass",
    "by_reach",
    "by_turning_away",
    "farthest_first",
    "rankings",
    "ranks",
]

Order = NDArray[np.int64]
"""``[N]``: every filter once, the first to keep first."""

Ranking: TypeAlias = Callable[[SearchLayer], Order]

rankings: Registry[Ranking] = Registry("ranking")


@rankings.register("importance")
def by_mass(layer: SearchLayer) -> Order:
    """Rank filters by their mass, the heaviest first.

    Examples:
        >>> by_mass(SearchLayer("a", np.float32([[1], [3], [2]]), np.zeros(3, int), 1, 3)).tolist()
        [1, 2, 0]
    """
    return np.argsort(-layer.mass_of, kind="stable")


@rankings.register("fpgm")
def by_distance(layer: SearchLayer) -> Order:
    """Rank filters by their distance from all others, summed (FPGM, He et al. 2019, arXiv 1811.00250), farthest first.

    Examples:
        >>> by_distance(SearchLayer("a", np.float32([[0], [5], [1]]), np.zeros(3, int), 1, 3)).tolist()
        [1, 0, 2]
    """
    return np.argsort(-layer.distances.sum(1, dtype=np.float64), kind="stable")


@rankings.register("farthest")
def farthest_first(layer: SearchLayer) -> Order:
    """Rank filters so that each next one is the worst served by those before (Gonzalez 1985), from the heaviest on.

    Served is by `deviations`; those with more energy go first where it says the same.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[0, 1], [5, 0], [4, 0]]), np.zeros(3, int), 1, 3)
        >>> farthest_first(layer).tolist()
        [1, 0, 2]
    """
    lost = layer.deviations
    worst, left = np.full(len(layer), np.inf), np.ones(len(layer), bool)
    energy = layer.squares / max(float(layer.squares.max()), 1e-30) * 1e-6
    order = np.empty(len(layer), np.int64)
    for place in range(len(layer)):
        chosen = int(np.argmax(layer.mass_of)) if place == 0 else int(np.argmax(np.where(left, worst + energy, -1)))
        order[place], left[chosen] = chosen, False
        worst = np.minimum(worst, lost[:, chosen])
    return order


@rankings.register("greedy")
def by_reach(layer: SearchLayer) -> Order:
    """Rank filters so that each next one lowers the reconstruction objective most.

    The gain is submodular, so that what it was once is a bound for later: lazy evaluation (Minoux 1978) looks at few
    filters a step. The first K lose at most ``(1 - 1/e)`` of what the best K gain (Nemhauser et al. 1978).

    Examples:
        >>> layer = SearchLayer("a", np.float32([[0, 1], [2, 0], [2, 0.1]]), np.zeros(3, int), 1, 3)
        >>> by_reach(layer).tolist()
        [2, 0, 1]
    """
    lost, energy = layer.deviations, layer.squares.astype(np.float64)
    served = np.ones(len(layer))
    queue = [(-gain, i) for i, gain in enumerate((energy @ (1 - lost)).tolist())]
    heapq.heapify(queue)
    order: list[int] = []
    while queue:
        _, chosen = heapq.heappop(queue)
        gain = float(energy @ np.maximum(served - lost[:, chosen], 0))
        if queue and -gain > queue[0][0]:
            heapq.heappush(queue, (-gain, chosen))
            continue
        order.append(chosen)
        served = np.minimum(served, lost[:, chosen])
    return np.array(order, np.int64)


@rankings.register("distinct")
def by_turning_away(layer: SearchLayer) -> Order:
    """Rank filters so that, from the last on, each is the one most like those that are left.

    Like is by the cosine's positive part; what stays has a low `redundancy`.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[0, 1], [2, 0], [2, 0.1]]), np.zeros(3, int), 1, 3)
        >>> by_turning_away(layer).tolist()
        [1, 0, 2]
    """
    alike = layer.cosines
    likeness = alike.sum(1, dtype=np.float64)
    order = np.empty(len(layer), np.int64)
    for place in range(len(layer) - 1, -1, -1):
        leaving = int(np.argmax(likeness))
        order[place] = leaving
        likeness -= alike[leaving]
        likeness[leaving] = -np.inf
    return order


def ranks(layer: SearchLayer, names: Sequence[str]) -> NDArray[np.float64]:
    """Return each filter's place in some rankings.

    Args:
        layer: The layer.
        names: Names in the registry of rankings.

    Returns:
        ``[names, N]`` in [0, 1), 0 for the first.

    Raises:
        SettingError: When a ranking is not known.

    Examples:
        >>> ranks(SearchLayer("a", np.float32([[1], [3]]), np.zeros(2, int), 1, 2), ["importance"]).tolist()
        [[0.5, 0.0]]
    """
    found = np.empty((len(names), len(layer)))
    for row, name in zip(found, names, strict=True):
        row[rankings.get(name)(layer)] = np.arange(len(layer)) / len(layer)
    return found
