"""The operators of genome.py as pymoo drives them: start, crossover, mutation, repair, and what counts as the same."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pymoo.core.crossover import Crossover
from pymoo.core.duplicate import DuplicateElimination
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem as Pymoo
from pymoo.core.repair import Repair

from niwaki.methods.share.search.genome import fitting, mixed, swapped
from niwaki.methods.share.search.layer import Masks
from niwaki.methods.share.search.problem import Problem, Values
from niwaki.methods.share.search.seeds import Ranks

__all__ = ["Asked", "Different", "LayerCrossover", "SwapMutation", "ToBounds"]

_LEANINGS = (1.0, 2.0, 4.0, 8.0)
"""How far the last of a ranking lies behind the first; chance makes good for 1."""


class Asked(Pymoo):
    """The problem as pymoo sees it: its size, and whom to ask for values.

    Args:
        problem: The problem.
        see: Returns the objectives ``[P, M]`` of rows ``[P, genes]``.
    """

    def __init__(self, problem: Problem, see: Callable[[Masks], Values]) -> None:
        super().__init__(n_var=len(problem), n_obj=len(problem.names), xl=0, xu=1, vtype=bool)
        self.see = see

    def _evaluate(self, x: Masks, out: dict[str, Values], *_: Any, **__: Any) -> None:
        out["F"] = self.see(x.astype(bool))


class LayerCrossover(Crossover):
    """Of each layer the children swap their parents' rows, keep them, or mix them filter by filter, all alike likely.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(n_parents=2, n_offsprings=2, prob=1.0)
        self.told = problem

    def _do(self, _: Pymoo, parents: Masks, *__: Any, random_state: Generator, **___: Any) -> Masks:
        first, second = parents.astype(bool)
        children = np.stack([first, second])
        for part in self.told.slices:
            how = random_state.integers(3, size=len(first))
            swap, mix = how == 1, how == 2
            children[0, swap, part], children[1, swap, part] = second[swap, part], first[swap, part]
            children[0, mix, part], children[1, mix, part] = mixed(first[mix, part], second[mix, part], random_state)
        return children


class SwapMutation(Mutation):
    """Change about one layer of each row, and at least one, by swaps.

    Where rankings are given, each swap leans to one of them, so that what comes in is rather what that ranking puts
    first; how much it leans is drawn too, from hardly to strictly.

    Args:
        problem: The problem.
        ranked: For each layer what `ranks` returns; empty for blind swaps.
    """

    def __init__(self, problem: Problem, ranked: Sequence[Ranks] = ()) -> None:
        super().__init__(prob=1.0)
        self.told = problem
        self.ranked = ranked

    def _do(self, _: Pymoo, given: Masks, *__: Any, random_state: Generator, **___: Any) -> Masks:
        rows, layers = given.astype(bool), self.told.layers
        struck = random_state.random((len(rows), len(layers))) < 1 / len(layers)
        struck[np.arange(len(rows)), random_state.integers(len(layers), size=len(rows))] = True
        for number, (layer, part) in enumerate(zip(layers, self.told.slices, strict=True)):
            chosen = np.flatnonzero(struck[:, number])
            lean = self._lean(number, len(chosen), random_state)
            rows[chosen, part] = swapped(rows[chosen, part], layer.least, layer.most, random_state, lean)
        return rows

    def _lean(self, layer: int, count: int, chance: Generator) -> NDArray[np.float64] | float:
        if not self.ranked:
            return 0.0
        ranked = self.ranked[layer]
        found: NDArray[np.float64] = ranked[chance.integers(len(ranked), size=count)]
        found *= chance.choice(_LEANINGS, size=(count, 1))
        return found


class ToBounds(Repair):
    """Let every layer keep as many filters as it may.

    Args:
        problem: The problem.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__()
        self.told = problem

    def _do(self, _: Pymoo, given: Masks, *__: Any, random_state: Generator, **___: Any) -> Masks:
        rows = given.astype(bool)
        for layer, part in zip(self.told.layers, self.told.slices, strict=True):
            rows[:, part] = fitting(rows[:, part], layer.least, layer.most, random_state)
        return rows


class Different(DuplicateElimination):
    """Rows are the same where every gene is."""

    def _do(self, pop: Any, other: Any, is_duplicate: Masks) -> Masks:
        seen = set() if other is None else set(_keys(other))
        for place, key in enumerate(_keys(pop)):
            is_duplicate[place] |= key in seen
            seen.add(key)
        return is_duplicate


def _keys(population: Any) -> list[bytes]:
    return [row.tobytes() for row in np.packbits(population.get("X").astype(bool), axis=1)]
