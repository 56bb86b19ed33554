"""From units to classes: labels of tensors and values by class, shared where they are equal."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import fx

from niwaki.graph.classes import Classes, Labels, State
from niwaki.graph.edges import Units
from niwaki.graph.program import Traced
from niwaki.graph.walk import Walk

__all__ = ["Solution", "solve"]


@dataclass(eq=False)
class Solution:
    """Classes of a model, before they are grouped.

    Attributes:
        walk: The demands they come from.
        of_unit: Class of each unit.
        count: Number of classes, class 0 (frozen) among them.
        arrays: Every distinct array of classes that some dimension bears.
        homes: For each of these, the first tensor or node that bears it.
        tensors: Labels of parameters and buffers.
        values: Labels of the nodes, by program.
        held: By class, whether a parameter holds it.
    """

    walk: Walk
    of_unit: Units
    count: int
    arrays: list[Classes] = field(default_factory=list)
    homes: list[str] = field(default_factory=list)
    tensors: dict[str, Labels] = field(default_factory=dict)
    values: list[dict[str, State]] = field(default_factory=list)
    held: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))
    _by_content: dict[bytes, Classes] = field(default_factory=dict)
    _by_object: dict[int, Classes | None] = field(default_factory=dict)

    def classes(self, units: Units | None, home: str) -> Classes | None:
        """Return the classes of units, None where all are frozen; equal arrays are one object."""
        if units is None:
            return None
        known = self._by_object.get(id(units), units)
        if known is not units:
            return known
        found = self.of_unit[units]
        shared = self._shared(found, home) if found.any() else None
        self._by_object[id(units)] = shared
        return shared

    def _shared(self, found: Classes, home: str) -> Classes:
        content = found.tobytes()
        if content not in self._by_content:
            self._by_content[content] = found
            self.arrays.append(found)
            self.homes.append(home)
        return self._by_content[content]


def solve(walk: Walk, traced: Traced) -> Solution:
    """Find the classes of all units and read every label as classes.

    Args:
        walk: Demands on units, complete.
        traced: The programs that were walked.

    Returns:
        The labels by class.
    """
    of_unit = walk.edges.classes()
    solution = Solution(walk, of_unit, int(of_unit.max()) + 1)
    for name, dims in walk.tensors.items():
        solution.tensors[name] = tuple(solution.classes(units, name) for units in dims)
    for states in walk.states:
        solution.values.append({node.name: _read(solution, node, state) for node, state in states.items()})
    solution.held = np.zeros(solution.count, dtype=np.bool_)
    for name in traced.parameters:
        for classes in solution.tensors[name]:
            if classes is not None:
                solution.held[classes] = True
    solution.held[0] = False
    return solution


def _read(solution: Solution, node: fx.Node, state: Any) -> State:
    if state and isinstance(state[0], list):
        return [tuple(solution.classes(units, node.name) for units in dims) for dims in state]
    return tuple(solution.classes(units, node.name) for units in state)
