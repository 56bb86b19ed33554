"""Everything a search has found that nothing else beats."""

import numpy as np
from numpy.typing import NDArray

from niwaki.methods.share.search.layer import Masks
from niwaki.methods.share.search.problem import Values

__all__ = ["Archive", "hypervolume", "not_dominated"]

_REFERENCE = 1.0
"""Objectives lie in [0, 1]; the volume is counted up to their worst."""

_BLOCK = 256
"""Points that are compared with all others in one go."""


def not_dominated(values: Values) -> NDArray[np.bool_]:
    """Say which points no other beats: none is as good in all objectives and better in one. Of equals the first stays.

    Args:
        values: ``[P, M]``, smaller is better.

    Returns:
        ``[P]``.

    Examples:
        >>> not_dominated(np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])).tolist()
        [True, True, False, False]
    """
    return ~_beaten(values, values, same=True)


def hypervolume(values: Values) -> float:
    """Return the volume between points and the worst corner, in [0, 1]: larger is better.

    Args:
        values: ``[P, M]`` in [0, 1].

    Returns:
        The share of the unit cube that some point is at least as good as.

    Examples:
        >>> round(hypervolume(np.array([[0.5, 0.0], [0.0, 0.5]])), 3)
        0.75
    """
    from pymoo.indicators.hv import HV  # noqa: PLC0415 - slow to import, and most of what reads fronts needs none

    inside = values[(values < _REFERENCE).all(1)]
    return float(HV(ref_point=np.full(values.shape[1], _REFERENCE))(inside)) if len(inside) else 0.0


class Archive:
    """The front of everything that was judged: points that no other beats, with their rows.

    Args:
        genes: Genes of a row.
        objectives: How many objectives there are.

    Examples:
        >>> archive = Archive(2, 2)
        >>> archive.add(np.array([[True, False], [False, True]]), np.array([[0.5, 0.5], [0.25, 0.5]]))
        >>> archive.values.tolist(), archive.rows().tolist()
        ([[0.25, 0.5]], [[False, True]])
    """

    def __init__(self, genes: int, objectives: int) -> None:
        self._genes = genes
        self._packed = np.zeros((0, (genes + 7) // 8), np.uint8)
        self.values: Values = np.zeros((0, objectives))

    def __len__(self) -> int:
        return len(self.values)

    def add(self, rows: Masks, values: Values) -> None:
        """Take in what was judged.

        Args:
            rows: ``[P, genes]``.
            values: ``[P, M]``.
        """
        new = not_dominated(values) & ~_beaten(values, self.values, same=False)
        old = ~_beaten(self.values, values[new], same=False)
        self.values = np.concatenate([self.values[old], values[new]])
        self._packed = np.concatenate([self._packed[old], np.packbits(rows[new], axis=1)])

    def rows(self) -> Masks:
        """Return the rows of the front, ``[P, genes]``."""
        return np.unpackbits(self._packed, axis=1, count=self._genes).astype(bool)


def _beaten(values: Values, others: Values, *, same: bool) -> NDArray[np.bool_]:
    """Say which points others are at least as good as; among the same points, only better ones and earlier equals."""
    found = np.zeros(len(values), bool)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK, None]
        as_good: NDArray[np.bool_] = np.all(others <= block, axis=2)
        if same:
            earlier = np.arange(len(others)) < np.arange(start, start + len(block))[:, None]
            as_good &= earlier | np.any(others < block, axis=2)
        found[start : start + _BLOCK] = np.any(as_good, axis=1)
    return found
