"""Selectors that cluster each layer's filters and keep one of each cluster: k-means and k-medoids."""

from abc import abstractmethod
from typing import Literal

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from niwaki.methods.share.search.asking import layers_of
from niwaki.methods.share.search.layer import Floats, SearchLayer
from niwaki.methods.share.search.rankings import by_reach
from niwaki.methods.share.selecting import Found, Question, Selection, Selector, selectors

__all__ = ["KMeans", "KMedoids", "kmeans_rows", "kmedoids_rows"]

Rows = NDArray[np.int64]


def kmeans_rows(layer: SearchLayer, count: int, rounds: int, chance: Generator) -> Rows:
    """Cluster filters by Lloyd's k-means from a k-means++ start, and keep the one nearest to each centre.

    Where users have scales, filters are compared by direction: rows are brought to length 1 first.

    Args:
        layer: The layer.
        count: How many clusters.
        rounds: Rounds at most.
        chance: The source of chance.

    Returns:
        The rows that stay, increasing; exactly ``count``.
    """
    rows = layer.filters
    if layer.scaled:
        norms = np.sqrt(layer.squares)[:, None]
        rows = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    centres = rows[_plus_plus(rows, count, chance)]
    for _ in range(rounds):
        owner = _apart(rows, centres).argmin(1)
        members = np.zeros((count, len(rows)), np.float32)
        members[owner, np.arange(len(rows))] = 1
        sizes = members.sum(1, keepdims=True)
        moved = np.where(sizes > 0, members @ rows / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return _nearest_rows(_apart(centres, rows), count)


def kmedoids_rows(layer: SearchLayer, count: int, rounds: int) -> Rows:
    """Cluster filters around members (Voronoi iteration, Park and Jun 2009), by what is lost where those replace all.

    It begins with the greedy choice; a round gives every filter to the member that stands for it best, and every
    cluster to the one that would lose least. No round loses more than the one before.

    Args:
        layer: The layer.
        count: How many clusters.
        rounds: Rounds at most.

    Returns:
        The rows that stay, increasing.

    Examples:
        >>> filters = np.float32([[3, 0], [3, 1], [3, -1], [0, 1]])
        >>> kmedoids_rows(SearchLayer("a", filters, np.zeros(4, int), 2, 2), 2, 5).tolist()
        [1, 2]
    """
    cost = layer.squares[:, None] * layer.deviations
    kept = np.sort(by_reach(layer)[:count])
    for _ in range(rounds):
        owner = layer.deviations[:, kept].argmin(1)
        owner[kept] = np.arange(count)
        clusters = [np.flatnonzero(owner == number) for number in range(count)]
        moved = np.sort([rows[cost[np.ix_(rows, rows)].sum(0).argmin()] for rows in clusters])
        if np.array_equal(moved, kept):
            break
        kept = moved
    return kept


class _Clustering(Selector):
    """Clusters one layer after the other."""

    rounds: int = Field(default=20, ge=1)

    @abstractmethod
    def rows(self, layer: SearchLayer, count: int, chance: Generator) -> Rows:
        """Return the rows of a layer that stay, increasing."""

    def select(self, question: Question) -> Found:
        """Cluster each layer.

        Raises:
            ContractError: When rates are adaptive.
        """
        chance, counts = np.random.default_rng(question.seed), question.fixed_counts(self.kind)
        found = [self.rows(layer, count, chance) for layer, count in zip(layers_of(question), counts, strict=True)]
        return Found(Selection(tuple(tuple(rows.tolist()) for rows in found)))


@selectors.register("kmeans")
class KMeans(_Clustering):
    """The filter nearest to each centre of k-means: plain weight sharing by clusters.

    Attributes:
        rounds: Rounds at most.

    Examples:
        >>> KMeans()
        KMeans(kind='kmeans', rounds=20)
    """

    kind: Literal["kmeans"] = "kmeans"

    def rows(self, layer: SearchLayer, count: int, chance: Generator) -> Rows:
        """See `kmeans_rows`."""
        return kmeans_rows(layer, count, self.rounds, chance)


@selectors.register("kmedoids")
class KMedoids(_Clustering):
    """The members that k-medoids clusters filters around.

    Attributes:
        rounds: Rounds at most.

    Examples:
        >>> KMedoids()
        KMedoids(kind='kmedoids', rounds=20)
    """

    kind: Literal["kmedoids"] = "kmedoids"

    def rows(self, layer: SearchLayer, count: int, chance: Generator) -> Rows:  # noqa: ARG002 - the family's signature
        """See `kmedoids_rows`."""
        return kmedoids_rows(layer, count, self.rounds)


def _apart(first: Floats, second: Floats) -> Floats:
    """Return squared distances, up to what is the same in each row."""
    found: Floats = np.square(second).sum(1) - 2 * (first @ second.T)
    return found


def _plus_plus(rows: Floats, count: int, chance: Generator) -> Rows:
    """Choose far-apart rows to begin with (Arthur and Vassilvitskii 2007)."""
    chosen = [int(chance.integers(len(rows)))]
    away = np.square(rows - rows[chosen[0]]).sum(1, dtype=np.float64)
    while len(chosen) < count:
        away[chosen] = 0
        left = np.ones(len(rows)) if away.sum() == 0 else away
        left[chosen] = 0
        chosen.append(int(chance.choice(len(rows), p=left / left.sum())))
        away = np.minimum(away, np.square(rows - rows[chosen[-1]]).sum(1, dtype=np.float64))
    return np.array(chosen)


def _nearest_rows(apart: Floats, count: int) -> Rows:
    """Return for each centre the nearest row that no centre before took."""
    taken: list[int] = []
    for centre in range(count):
        apart[centre, taken] = np.inf
        taken.append(int(apart[centre].argmin()))
    return np.sort(taken)
