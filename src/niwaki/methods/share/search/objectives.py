"""What a choice of filters is judged by: pure functions of one layer and of many candidates at once.

Each returns ``[P]``, or ``[P, parts]`` of which the worst counts, in [0, 1] and smaller is better. Over several layers
it is the mean, weighted by `SearchLayer.share`, of each part; NaN where a layer has no such part. A function of the
same form joins them by ``objectives.register("name")``; searches are told by name which of them to use.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from niwaki.methods.share.search.layer import Floats, Masks, SearchLayer
from niwaki.registry import Registry

__all__ = [
    "Objective",
    "crowding",
    "importance",
    "objectives",
    "reconstruction",
    "redundancy",
    "size",
    "worst_task",
]

Objective: TypeAlias = Callable[[SearchLayer, Masks], NDArray[np.floating]]

objectives: Registry[Objective] = Registry("objective")


@objectives.register("importance")
def importance(layer: SearchLayer, kept: Masks) -> Floats:
    """Return the share of the filters' mass that is not kept.

    Args:
        layer: The layer.
        kept: ``[P, N]``.

    Returns:
        ``[P]``.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[1, 0], [3, 0], [0, 4]]), np.array([0, 0, 1]), 1, 3)
        >>> importance(layer, np.array([[False, True, True]])).tolist()
        [0.125]
    """
    total = layer.mass_of.sum()
    return np.float32(1) - _fraction(kept @ layer.mass_of, total, empty=1)


@objectives.register("redundancy")
def redundancy(layer: SearchLayer, kept: Masks) -> Floats:
    """Return the mean over pairs of kept filters of the cosine's positive part; of a single filter 0.

    Args:
        layer: The layer.
        kept: ``[P, N]``.

    Returns:
        ``[P]``.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[1, 0], [3, 0], [0, 4]]), np.array([0, 0, 1]), 1, 3)
        >>> redundancy(layer, np.array([[True, True, False], [True, False, True]])).tolist()
        [1.0, 0.0]
    """
    return _mean_over_pairs(layer.cosines, kept)


@objectives.register("crowding")
def crowding(layer: SearchLayer, kept: Masks) -> Floats:
    """Return how near kept filters lie to each other, by FPGM's distance (He et al. 2019, arXiv 1811.00250).

    Args:
        layer: The layer.
        kept: ``[P, N]``.

    Returns:
        ``[P]``: 1 minus their mean distance as a fraction of the layer's largest; of a single filter 1.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[0, 0], [3, 4], [0, 0]]), np.array([0, 0, 1]), 1, 3)
        >>> crowding(layer, np.array([[True, True, False], [True, False, True]])).tolist()
        [0.0, 1.0]
    """
    return np.float32(1) - _fraction(_mean_over_pairs(layer.distances, kept), layer.distances.max(), empty=0)


@objectives.register("reconstruction")
def reconstruction(layer: SearchLayer, kept: Masks) -> Floats:
    """Return what is lost of all filters' energy when the nearest kept filter stands for each.

    ``sum_i |X_i|^2 min_{j kept} D_ij / sum_i |X_i|^2``; a filter that is left out altogether costs ``D = 1``.

    Args:
        layer: The layer.
        kept: ``[P, N]``.

    Returns:
        ``[P]``.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[1, 0], [3, 0], [0, 2]]), np.array([0, 0, 1]), 1, 3)
        >>> reconstruction(layer, np.array([[True, False, False], [True, False, True]])).round(3).tolist()
        [0.286..., 0.0]
    """
    return _fraction(layer.lost(kept) @ layer.squares, layer.squares.sum(), empty=0)


@objectives.register("worst_task")
def worst_task(layer: SearchLayer, kept: Masks) -> Floats:
    """Return `reconstruction` for each network alone; the worst of them counts.

    Args:
        layer: The layer.
        kept: ``[P, N]``.

    Returns:
        ``[P, networks]``; NaN for a network that has no such layer.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[1, 0], [3, 0], [0, 2]]), np.array([0, 0, 1]), 1, 3)
        >>> worst_task(layer, np.array([[True, False, False]])).tolist()
        [[0.0, 1.0]]
    """
    energy = np.zeros((len(layer), layer.networks), np.float32)
    energy[np.arange(len(layer)), layer.owners] = layer.squares
    found = _fraction(layer.lost(kept) @ energy, energy.sum(0), empty=0)
    found[:, np.bincount(layer.owners) == 0] = np.nan
    return found


@objectives.register("size")
def size(layer: SearchLayer, kept: Masks) -> Floats:
    """Return the share of the filters that is kept: what there is to gain where rates are free.

    Args:
        layer: The layer.
        kept: ``[P, N]``.

    Returns:
        ``[P]``.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[1], [3]]), np.array([0, 1]), 1, 2)
        >>> size(layer, np.array([[True, False]])).tolist()
        [0.5]
    """
    counts: Floats = kept.sum(1, dtype=np.float32)
    return counts / np.float32(len(layer))


def _mean_over_pairs(matrix: Floats, kept: Masks) -> Floats:
    """Return the mean of a symmetric matrix with a zero diagonal over the pairs of kept rows, 0 where there is none."""
    chosen = kept.astype(np.float32)
    total = np.einsum("pn,pn->p", chosen @ matrix, chosen)
    count = chosen.sum(1)
    return _fraction(total, count * (count - 1), empty=0)


def _fraction(part: Floats, whole: NDArray[np.floating] | np.floating, *, empty: float) -> Floats:
    whole = np.broadcast_to(np.asarray(whole, np.float32), part.shape)
    found: Floats = np.divide(part, whole, out=np.full(part.shape, empty, np.float32), where=whole > 0)
    return found
