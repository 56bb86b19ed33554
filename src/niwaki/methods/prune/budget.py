"""Meeting a budget: bisection on the share of channels, then one rounding step at a time."""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor

from niwaki.errors import BudgetError
from niwaki.methods.prune.allocation import Allocation
from niwaki.settings import Budget

__all__ = ["Counts", "Target", "fill", "meet"]

Counts = list[dict[int, int]]
_HALVINGS, _CLOSE = 30, 1e-4


@dataclass(frozen=True)
class Target:
    """A budget for a certain model.

    Attributes:
        budget: What the user asked for.
        dense: The dense model's size in the budget's unit.
        progress: How much of the way there the present round goes, in (0, 1].
    """

    budget: Budget
    dense: int
    progress: float = 1.0

    @property
    def allowed(self) -> int:
        """What may stay after this round, in the budget's unit."""
        final = self.budget.amount * self.dense if self.budget.is_fraction else self.budget.amount
        return floor(max(final, self.dense - self.progress * (self.dense - final)) + 1e-6)

    def in_terms_of_budget(self, size: int) -> str:
        """Write a size as the user would have to ask for it, rounded up where it is a fraction."""
        if not self.budget.is_fraction:
            return f"{self.budget.kind}={size:_}"
        share = size / self.dense if self.dense else 1.0
        return f"{self.budget.kind}={ceil(share * 1e4) / 1e4:g}"


def meet(allocation: Allocation, size_of: Callable[[Counts], int], target: Target) -> Counts:
    """Find the share that fills a budget, and spend what is left step by step (`fill`).

    The result is at or below the budget. Every block lies at the share or one rounding step above it, and no block that
    lies at the share can take that step any more.

    Args:
        allocation: Turns a share into channels kept.
        size_of: Returns the size of a choice, in the budget's unit.
        target: What may stay.

    Returns:
        For each block of the allocation, stratum index to channels kept.

    Raises:
        BudgetError: When even the smallest widths are larger; the message names the smallest reachable budget.
    """
    smallest = size_of(allocation.counts(0.0))
    nothing_to_give = target.dense == 0 and target.budget.amount < 1
    if nothing_to_give or (smallest > target.allowed and size_of(allocation.counts(1.0)) > target.allowed):
        raise BudgetError(
            f"{target.budget} is out of reach: the smallest reachable is {target.in_terms_of_budget(smallest)}; "
            "ask for that or more, or lower round_to or floor, or keep fewer layers"
        )
    return fill(allocation, size_of, target.allowed)


def fill(allocation: Allocation, size_of: Callable[[Counts], float], allowed: float) -> Counts:
    """Find the largest share whose size is allowed, and spend what is left step by step.

    Args:
        allocation: Turns a share into channels kept.
        size_of: Returns the size of a choice.
        allowed: What may stay, in the same unit; at least the size of the smallest widths.

    Returns:
        For each block of the allocation, stratum index to channels kept.
    """
    above, below = allocation.counts(1.0), allocation.counts(0.0)
    if size_of(above) <= allowed:
        return above
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        if high - low < _CLOSE and len(_differing(below, above)) <= 1:
            break
        middle = (low + high) / 2
        counts = allocation.counts(middle)
        if size_of(counts) <= allowed:
            low, below = middle, counts
        else:
            high, above = middle, counts
    return _spend(allocation, (below, above), high, lambda counts: size_of(counts) <= allowed)


def _differing(below: Counts, above: Counts) -> list[int]:
    return [index for index, (a, b) in enumerate(zip(below, above, strict=True)) if a != b]


def _spend(allocation: Allocation, ends: tuple[Counts, Counts], share: float, fits: Callable[[Counts], bool]) -> Counts:
    """Raise every block by at most one rounding step, those furthest behind the share first, while it fits."""
    chosen, above = list(ends[0]), ends[1]
    for index in sorted(range(len(chosen)), key=lambda index: allocation.ahead(chosen[index], share)):
        block = allocation.blocks[index]
        larger = above[index] if above[index] != chosen[index] else block.larger(chosen[index])
        if larger != chosen[index] and fits([*chosen[:index], larger, *chosen[index + 1 :]]):
            chosen[index] = larger
    return chosen
