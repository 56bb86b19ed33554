"""The nearest kept filter of every filter, for many candidates at once.

A minimum over the kept columns of ``D [N, N]`` takes N times K steps for each candidate. Where each row is sorted once,
one walks along it until a kept filter comes: about N / density steps, some hundred times fewer on a wide layer.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Neighbours"]


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Every filter's neighbours, nearest first, itself left out.

    Attributes:
        order: int ``[N, N - 1]``: who they are.
        costs: float32 ``[N, N - 1]``: what each costs, ascending.
        most: What no neighbour at all costs.
    """

    order: NDArray[np.integer]
    costs: NDArray[np.float32]
    most: float = 1.0

    @classmethod
    def of(cls, deviations: NDArray[np.float32]) -> Self:
        """Sort the rows of a matrix.

        Args:
            deviations: ``[N, N]`` in [0, 1]; its diagonal does not count.

        Returns:
            The neighbours.
        """
        ranked = deviations.copy()
        np.fill_diagonal(ranked, -1)
        order = np.argsort(ranked, axis=1, kind="stable")[:, 1:]
        costs = np.take_along_axis(deviations, order, axis=1)
        return cls(order.astype(np.min_scalar_type(len(deviations))), costs)

    def nearest(self, kept: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Return what every filter costs when the nearest kept one stands for it.

        Args:
            kept: ``[P, N]``.

        Returns:
            ``[P, N]``: 0 for kept filters; 1 where nothing that is kept costs less.

        Examples:
            >>> near = Neighbours.of(np.float32([[0, 0.25, 0.5], [0.25, 0, 0.125], [0.5, 0.125, 0]]))
            >>> near.nearest(np.array([[True, False, False], [False, False, True]])).tolist()
            [[0.0, 0.25, 0.5], [0.5, 0.125, 0.0]]
        """
        found = np.where(kept, np.float32(0), np.float32(self.most))
        candidate, filter_ = np.nonzero(~kept)
        for rank in range(self.order.shape[1]):
            near = self.order[filter_, rank]
            costs = self.costs[filter_, rank]
            met = kept[candidate, near]
            found[candidate[met], filter_[met]] = costs[met]
            onward = ~met & (costs < self.most)
            candidate, filter_ = candidate[onward], filter_[onward]
            if not len(candidate):
                break
        return found
