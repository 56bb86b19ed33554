"""Units and the edges between them: who must be removed together, and who said so."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components

__all__ = ["FROZEN", "Edges", "Units"]

Units = NDArray[np.int64]
FROZEN = 0


@dataclass(eq=False)
class Edges:
    """Fresh units, and edges between them with the cause of each; nothing is solved while they are collected.

    Attributes:
        count: Number of units, with unit 0 that stands for frozen.
        causes: What was walked when an edge was added, in words; an edge refers to it by index.
        heads: Units that are whole heads of attention.
    """

    count: int = 1
    causes: list[str] = field(default_factory=lambda: ["start"])
    heads: list[Units] = field(default_factory=list)
    _first: list[Units] = field(default_factory=list)
    _second: list[Units] = field(default_factory=list)
    _cause: list[Units] = field(default_factory=list)

    def fresh(self, size: int) -> Units:
        """Return ``size`` units that nothing refers to yet."""
        start = self.count
        self.count += size
        return np.arange(start, self.count, dtype=np.int64)

    def because(self, cause: str) -> None:
        """Name what the following edges come from."""
        self.causes.append(cause)

    def join(self, first: Units, second: Units) -> None:
        """Demand that units at equal positions are removed together."""
        if first is second:
            return
        first, second = np.broadcast_arrays(first, second)
        self._first.append(np.ascontiguousarray(first).reshape(-1))
        self._second.append(np.ascontiguousarray(second).reshape(-1))
        self._cause.append(np.full(first.size, len(self.causes) - 1, dtype=np.int64))

    def freeze(self, units: Units | None) -> None:
        """Demand that these units are never removed."""
        if units is not None:
            self.join(units, np.full(units.shape, FROZEN, dtype=np.int64))

    def unify(self, first: Units | None, second: Units | None) -> Units | None:
        """Join two labels of one dimension; a frozen one freezes the other."""
        if first is None or second is None:
            self.freeze(first)
            self.freeze(second)
            return None
        self.join(first, second)
        return first

    def alike(self, rows: Units) -> Units:
        """Join all rows of a matrix, so that every row keeps the same positions, and return the first."""
        if len(rows) > 1:
            self.join(rows[1:], rows[:1])
        first: Units = rows[0]
        return first

    def columns(self) -> tuple[Units, Units, Units]:
        """Return first units, second units and causes of all edges, in order; what was joined once stays joined."""
        for column in (self._first, self._second, self._cause):
            if len(column) != 1:
                column[:] = [np.concatenate([np.zeros(0, dtype=np.int64), *column])]
        return self._first[0], self._second[0], self._cause[0]

    def classes(self) -> Units:
        """Return the class of every unit: 0 for frozen ones, others numbered by their first unit."""
        first, second, _ = self.columns()
        ones = np.ones(first.size)
        matrix = coo_matrix((ones, (first, second)), shape=(self.count, self.count))
        _, component = connected_components(matrix, directed=False)
        _, earliest, inverse = np.unique(component, return_index=True, return_inverse=True)
        order = np.empty(earliest.size, dtype=np.int64)
        order[np.argsort(earliest)] = np.arange(earliest.size)
        return order[inverse].astype(np.int64)

    def towards_frozen(self) -> Units:
        """Return for every unit the next one on a shortest path to unit 0, or -9999 where there is none."""
        first, second, _ = self.columns()
        ones = np.ones(first.size)
        matrix = coo_matrix((ones, (first, second)), shape=(self.count, self.count)).tocsr()
        _, next_unit = breadth_first_order(matrix, FROZEN, directed=False, return_predecessors=True)
        return next_unit.astype(np.int64)

    def cause_of(self, first: int, second: int) -> str:
        """Return the cause of the earliest edge between two units."""
        left, right, cause = self.columns()
        found = ((left == first) & (right == second)) | ((left == second) & (right == first))
        return self.causes[int(cause[np.flatnonzero(found)[0]])]
