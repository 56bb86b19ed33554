"""Ranks: the one scale on which scores of different kinds can be compared."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

__all__ = ["normalised_ranks", "ranks_by_part"]


def normalised_ranks(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each score divided by their number; equal scores share the mean of their ranks.

    Args:
        scores: ``[n]``.

    Returns:
        ``[n]``, in (0, 1].

    Examples:
        >>> normalised_ranks(np.array([5.0, -1.0, 5.0, 9.0])).tolist()
        [0.625, 0.25, 0.625, 1.0]
    """
    return np.asarray(rankdata(scores), dtype=np.float64) / max(len(scores), 1)


def ranks_by_part(scores: NDArray[np.float64], parts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return normalised ranks inside each part, so that parts scored in different ways can be compared.

    Args:
        scores: ``[n]``.
        parts: Number of each score's part, ``[n]``; a negative one belongs to none.

    Returns:
        ``[n]``, in (0, 1]; 0 where there is no part.

    Examples:
        >>> ranks_by_part(np.array([3.0, 4.0, 100.0, 200.0]), np.array([0, 0, 1, 1])).tolist()
        [0.5, 1.0, 0.5, 1.0]
    """
    found = np.zeros(len(scores))
    for part in np.unique(parts[parts >= 0]):
        found[parts == part] = normalised_ranks(scores[parts == part])
    return found
