"""Why a channel can't go: the shortest way from it to what is frozen, and what made each step."""

from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from niwaki.graph.classes import UnknownOperator
from niwaki.graph.edges import FROZEN
from niwaki.graph.solve import Solution

__all__ = ["Explainer", "unknown_operators"]


class Explainer:
    """Answers why, from the demands that were collected.

    Args:
        solution: The classes and the demands they come from.
    """

    def __init__(self, solution: Solution) -> None:
        self.solution = solution

    @cached_property
    def _next(self) -> list[int]:
        steps: list[int] = self.solution.walk.edges.towards_frozen().tolist()
        return steps

    def tensor(self, name: str) -> str:
        """Say of each dimension of a tensor how much of it is frozen, and by what."""
        lines = [self._dimension(name, dim) for dim in range(len(self.solution.tensors[name]))]
        return "\n".join(lines) or f"{name} has no dimensions"

    def dimension(self, name: str, dim: int) -> str | None:
        """Say what froze a dimension as a whole, or None where some of it may go."""
        units = self.solution.walk.tensors[name][dim]
        if units is None:
            return "it has one channel"
        if self.solution.tensors[name][dim] is not None:
            return None
        return self._reason(int(units[0]))

    def _dimension(self, name: str, dim: int) -> str:
        units = self.solution.walk.tensors[name][dim]
        if units is None:
            return f"{name}, dimension {dim}: has one position"
        stuck = np.flatnonzero(self.solution.of_unit[units] == FROZEN)
        if not stuck.size:
            return f"{name}, dimension {dim}: free"
        return f"{name}, dimension {dim}: {stuck.size} of {units.size} {self._reason(int(units[stuck[0]]))}"

    def _reason(self, unit: int) -> str:
        edges = self.solution.walk.edges
        path = [unit]
        while path[-1] != FROZEN:
            path.append(self._next[path[-1]])
        text = f"frozen by {edges.cause_of(path[-2], path[-1])}"
        joined = [edges.cause_of(a, b) for a, b in pairwise(path[:-1])]
        return f"{text}, through {joined[0]}" if joined else text


def unknown_operators(solution: Solution) -> tuple[UnknownOperator, ...]:
    """Return the operators without a rule that froze something, with the tensors whose channels they froze.

    Args:
        solution: The classes and the demands they come from.

    Returns:
        One entry for each operator, module and set of tensors.
    """
    if not solution.walk.unknown:
        return ()
    edges = solution.walk.edges
    first, second, cause = edges.columns()
    free = (first != FROZEN) & (second != FROZEN)
    matrix = coo_matrix((np.ones(int(free.sum())), (first[free], second[free])), shape=(edges.count, edges.count))
    _, component = connected_components(matrix, directed=False)
    found: dict[tuple[str, str, tuple[str, ...]], UnknownOperator] = {}
    for each in solution.walk.unknown:
        units = first[cause == each.cause]
        touched = np.unique(component[units[units != FROZEN]])
        tensors = tuple(
            name
            for name, dims in solution.walk.tensors.items()
            if any(units is not None and np.isin(component[units], touched).any() for units in dims)
        )
        if tensors:
            operator = UnknownOperator(each.node, each.operator, each.module, tensors)
            found.setdefault((each.operator, each.module, tensors), operator)
    return tuple(found.values())
