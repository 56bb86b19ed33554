"""Ranks for layers that stay factors: as low as a budget asks, and each layer as low as its singular values allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Named, as_examples
from niwaki.errors import BudgetError
from niwaki.measure import measure
from niwaki.methods.expand.layers import Candidate
from niwaki.modules import evaluating
from niwaki.settings import Budget
from niwaki.surgery.factored import SPLITTABLE
from niwaki.surgery.layout import Layout

__all__ = ["Price", "prices", "ranks_within"]

_HALVINGS = 40


@dataclass(frozen=True)
class Price:
    """What a layer costs whole, and as two factors.

    Attributes:
        whole: In the budget's unit.
        each: For each column of the factors.
    """

    whole: int
    each: int

    def of(self, rank: int) -> int:
        """Return the cost at a rank: that of the factors, or of the whole layer where they are no cheaper."""
        return min(self.whole, self.each * rank)

    def pays(self, rank: int) -> bool:
        """Whether the factors are cheaper than the layer."""
        return self.each * rank < self.whole


@dataclass
class _Positions:
    """Where a layer computes: positions of its input, between its factors, and of its output, over all calls."""

    layout: Layout
    given: int = 0
    between: int = 0
    made: int = 0

    def __call__(self, _: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, taps, split = inputs[0], len(self.layout.taps), self.layout.split
        if not taps:
            positions = output.numel() // output.shape[-1]
            self.given, self.between, self.made = (each + positions for each in (self.given, self.between, self.made))
            return
        batch = x.numel() // prod(x.shape[-taps - 1 :])
        sizes = x.shape[-taps:], (*output.shape[-taps:][:split], *x.shape[-taps:][split:]), output.shape[-taps:]
        self.given, self.between, self.made = (
            known + batch * prod(size) for known, size in zip((self.given, self.between, self.made), sizes, strict=True)
        )


def prices(model: nn.Module, found: Sequence[Candidate], example: Any, unit: str) -> dict[str, Price]:
    """Return what every layer costs in parameters or multiply-accumulates.

    Args:
        model: The model, unwrapped; it is left as it is.
        found: Its layers; those of other classes than torch's own have no price, since they can't become two.
        example: Its inputs.
        unit: ``"params"`` or ``"macs"``.
    """
    chosen = [each for each in found if type(each.layer) in SPLITTABLE and each.name]
    if unit == "params":
        return {
            each.name: Price(prod(each.layout.sizes), each.layout.groups * sum(each.layout.sizes[1:]))
            for each in chosen
        }
    seen = {each.name: _Positions(each.layout) for each in chosen}
    handles = [each.layer.register_forward_hook(seen[each.name]) for each in chosen]
    try:
        with evaluating(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
            for path in as_examples(example):
                path.call(model)
    finally:
        for handle in handles:
            handle.remove()
    return {name: _macs(positions) for name, positions in seen.items()}


def ranks_within(
    model: nn.Module,
    found: Sequence[Candidate],
    example: Any,
    tasks: Sequence[Named] | None,
    budget: Budget,
) -> dict[str, int]:
    """Choose the ranks that meet a budget.

    Every layer keeps the singular values without which the same share of its weight's squared length would be lost;
    the share is found by bisection. A layer whose factors are no cheaper than it stays whole.

    Args:
        model: The model, unwrapped.
        found: The layers that may become two.
        example: Its inputs.
        tasks: The tasks, or None.
        budget: In ``params`` or ``macs``.

    Returns:
        Layer to rank; layers that stay whole are missing.

    Raises:
        BudgetError: When the budget is out of reach.
    """
    unit = budget.kind
    costs = prices(model, found, example, unit)
    values = {each.name: _lost_by_rank(each) for each in found if each.name in costs}
    whole = measure(model, example, tasks=tasks).whole
    dense = whole.params if unit == "params" else whole.macs
    fixed = dense - sum(price.whole for price in costs.values())
    target = budget.share_of(dense) * dense

    def total(ranks: Mapping[str, int]) -> int:
        return fixed + sum(costs[name].of(rank) for name, rank in ranks.items())

    def at(share: float) -> dict[str, int]:
        return {name: 1 + int((lost > share).sum()) for name, lost in values.items()}

    if total(at(1.0)) > target:
        raise BudgetError(
            f"{budget} is out of reach: with every layer of rank 1, {total(at(1.0)) / dense:.4g} of the {dense:,} "
            f"{unit} stay; give a larger budget, or widen scope and keep"
        )
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if total(at(middle)) <= target else (middle, high)
    return {name: rank for name, rank in at(high).items() if costs[name].pays(rank)}


def _lost_by_rank(candidate: Candidate) -> Tensor:
    """Return the share of the squared length that ranks 1, 2, … leave out, `[full rank - 1]`, over all groups."""
    weight = candidate.layer.weight
    assert isinstance(weight, Tensor)
    squares = torch.linalg.svdvals(candidate.layout.matrix(weight.detach().cpu().double())).square().sum(0)
    left = squares.flip(0).cumsum(0).flip(0)
    shares: Tensor = left[1:] / left[0].clamp_min(torch.finfo(left.dtype).tiny)
    return shares


def _macs(positions: _Positions) -> Price:
    layout = positions.layout
    groups, rows, columns = layout.sizes
    if layout.transposed:
        whole, first, second = positions.given, positions.given, positions.between
    else:
        whole, first, second = positions.made, positions.between, positions.made
    return Price(whole * groups * rows * columns, groups * (first * rows + second * columns))
