"""Strata that have to be rounded together, or to stay equal: a small mixed-integer program."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from niwaki.methods.prune.strata import Dimension, Equality, Stratum

__all__ = ["JointProblem", "Wishes"]

Wishes = Sequence[float]
"""By stratum index, how many channels the stratum should keep, before rounding."""

_DIMENSION_SHARE, _STRATUM_SHARE, _WORTH = 1e3, 1e2, 1.0
_STEPS_AHEAD = 4


@dataclass
class _Program:
    """A mixed-integer program that is written down term by term."""

    costs: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    rows: list[tuple[int, int, float]] = field(default_factory=list)
    bounds: list[tuple[float, float]] = field(default_factory=list)

    def variable(self, upper: float, *, cost: float = 0.0, whole: bool = True) -> int:
        self.costs.append(cost)
        self.upper.append(upper)
        self.whole.append(int(whole))
        return len(self.costs) - 1

    def constrain(self, terms: list[tuple[int, float]], low: float, high: float) -> None:
        self.rows += [(len(self.bounds), variable, weight) for variable, weight in terms]
        self.bounds.append((low, high))

    def near(self, terms: list[tuple[int, float]], target: float, cost: float) -> None:
        """Pay ``cost`` for each unit between a sum and its target."""
        away = self.variable(np.inf, cost=cost, whole=False)
        self.constrain([*terms, (away, 1.0)], target, np.inf)
        self.constrain([*terms, (away, -1.0)], -np.inf, target)

    def solve(self) -> NDArray[np.float64] | None:
        row, column, value = zip(*self.rows, strict=True)
        matrix = coo_array((value, (row, column)), shape=(len(self.bounds), len(self.costs))).tocsr()
        low, high = zip(*self.bounds, strict=True)
        found = milp(
            np.array(self.costs),
            integrality=np.array(self.whole),
            bounds=Bounds(0, np.array(self.upper)),
            constraints=LinearConstraint(matrix, np.array(low), np.array(high)),
            options={"mip_rel_gap": 1e-6, "node_limit": 200, "presolve": False},
        )
        return None if found.x is None else np.asarray(found.x)


@dataclass(frozen=True)
class JointProblem:
    """Find how many channels each of several strata keeps.

    Every rounded dimension is a multiple or stays whole, and chunks stay equal. Of what is left, the wished width of
    each dimension comes first, then that of each stratum, then the worth of what is kept.

    Attributes:
        strata: The strata, by index.
        dimensions: The dimensions that they fill.
        equalities: The chunks that stay equal.
        worth: Stratum index to the mean score of its channels.
        round_to: The multiple, at least 1.
    """

    strata: dict[int, Stratum]
    dimensions: tuple[Dimension, ...]
    equalities: tuple[Equality, ...]
    worth: dict[int, float]
    round_to: int

    def counts(self, wishes: Wishes) -> dict[int, int]:
        """Return how many channels each stratum keeps.

        Args:
            wishes: How many each should keep.

        Returns:
            Stratum index to a number in [0, its size]; all of them where nothing smaller exists.
        """
        program = _Program()
        least = min(self.worth.values())
        best = max(self.worth.values()) - least or 1.0
        kept = {}
        count = sum(stratum.size for stratum in self.strata.values())
        for number, stratum in self.strata.items():
            kept[number] = program.variable(stratum.size, cost=-_WORTH * (self.worth[number] - least) / best / count)
            target = min(wishes[number], stratum.size)
            program.near([(kept[number], 1.0)], target, _STRATUM_SHARE / count)
        for dimension in self.dimensions:
            self._fill(program, dimension, kept, wishes)
        for equality in self.equalities:
            terms = [(kept[number], float(weight)) for number, weight in equality.weights]
            program.constrain(terms, -equality.constant, -equality.constant)
        found = program.solve()
        if found is None:
            return {number: stratum.size for number, stratum in self.strata.items()}
        return {number: round(float(found[variable])) for number, variable in kept.items()}

    def larger(self, counts: dict[int, int]) -> dict[int, int]:
        """Return the next larger choice, or the same one where there is none near.

        Args:
            counts: Stratum index to channels kept.

        Returns:
            The first larger choice within the next few rounding steps.
        """
        whole = {number: stratum.wished for number, stratum in self.strata.items()}
        widest = max((dimension.size for dimension in self.dimensions), default=sum(whole.values()))
        for step in range(1, _STEPS_AHEAD + 1):
            wishes = [0.0] * (max(counts) + 1)
            for number, count in counts.items():
                wishes[number] = count + whole[number] * step * self.round_to / widest
            found = self.counts(wishes)
            if sum(found.values()) > sum(counts.values()):
                return found
        return counts

    def _fill(self, program: _Program, dimension: Dimension, kept: dict[int, int], wishes: Wishes) -> None:
        terms = [(kept[number], float(width)) for number, width in dimension.widths]
        target = min(
            sum(width * wishes[number] for number, width in dimension.widths), dimension.size - dimension.fixed
        )
        program.near(terms, target, _DIMENSION_SHARE * dimension.times / dimension.size)
        program.constrain(terms, dimension.least - dimension.fixed, np.inf)
        if not dimension.rounded or self.round_to == 1:
            return
        steps, rest = divmod(dimension.size, self.round_to)
        multiple = program.variable(steps)
        whole = program.variable(1)
        used = [(multiple, -float(self.round_to)), (whole, -float(rest))]
        program.constrain([*terms, *used], -dimension.fixed, -dimension.fixed)
        program.constrain([(multiple, 1.0), (whole, -float(steps))], 0.0, np.inf)
