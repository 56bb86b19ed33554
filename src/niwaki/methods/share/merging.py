"""From chosen filters to who draws from whom: pure functions on stacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from niwaki.methods.share.distance import assign, distances
from niwaki.methods.share.stack import LayerStack

__all__ = ["Merge", "centred", "count_for", "merge_stack"]


@dataclass(frozen=True, eq=False)
class Merge:
    """What becomes of the filters of one layer.

    Attributes:
        stack: The filters.
        kept: Rows that stay, increasing.
        bank: The filters they make, `[K, d]`.
        place: Row of the bank that stands for each filter, `[N]`.
        scales: Its scale, `[N]`.
        unfit: Whether a filter that is stood for badly, and worth little, may be pruned instead, `[N]`.
    """

    stack: LayerStack
    kept: tuple[int, ...]
    bank: Tensor
    place: Tensor
    scales: Tensor
    unfit: Tensor

    def lost(self, left: Tensor) -> float:
        """Return what is lost of the layer, relative to what there was: 0 for nothing, with scales at most 1.

        Args:
            left: Whether each filter was left in its network, `[N]`; one that was pruned is lost whole.
        """
        filters = self.stack.filters
        made = torch.where(left, self.scales, torch.zeros_like(self.scales))[:, None] * self.bank[self.place]
        whole = float(filters.square().sum())
        return float((filters - made).square().sum()) / whole if whole else 0.0


def count_for(rate: float, filters: int) -> int:
    """Return how many filters stay.

    Args:
        rate: Share that stays, in (0, 1].
        filters: N.

    Returns:
        At least 1.

    Examples:
        >>> count_for(0.5, 7), count_for(0.01, 7)
        (4, 1)
    """
    return max(1, min(filters, ceil(rate * filters - 1e-9)))


def centred(filters: Tensor, bank: Tensor, place: Tensor, scales: Tensor, *, scale: bool) -> tuple[Tensor, Tensor]:
    """Move every row of a bank to where it stands best for its users: ``B_j = sum a_i X_i / sum a_i^2``.

    Args:
        filters: X, `[N, d]`.
        bank: B, `[K, d]`.
        place: Row that stands for each filter, `[N]`.
        scales: a, `[N]`.
        scale: Whether the scales follow: the best ones for the moved rows.

    Returns:
        The moved bank, and the scales.

    Examples:
        >>> filters = torch.tensor([[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]])
        >>> bank, _ = centred(filters, filters[1:], torch.tensor([0, 0, 1]), torch.ones(3), scale=False)
        >>> bank.tolist()
        [[0.5, 0.5], [5.0, 5.0]]
    """
    weight = torch.zeros(len(bank), dtype=bank.dtype).index_add(0, place, scales.square())
    moved = torch.zeros_like(bank).index_add(0, place, scales[:, None] * filters)
    moved = torch.where(weight[:, None] > 0, moved / weight.clamp(min=torch.finfo(bank.dtype).tiny)[:, None], bank)
    alone = torch.bincount(place, minlength=len(bank)) == 1
    moved[alone] = bank[alone]  # bit for bit
    if not scale:
        return moved, scales
    squares = moved.square().sum(1)[place]
    best = (filters * moved[place]).sum(1).clamp(min=0) / torch.where(squares > 0, squares, torch.ones_like(squares))
    return moved, torch.where(alone[place], scales, best)


def merge_stack(
    stack: LayerStack,
    kept: Sequence[int],
    *,
    scale: bool = True,
    centroids: bool = False,
    limit: float | None = None,
    below: float = 0.5,
) -> Merge:
    """Say for each filter whether it stays, is stood for, or had better go.

    Args:
        stack: The filters.
        kept: Rows that stay, increasing.
        scale: Whether each user of a kept filter has a scale of its own.
        centroids: Whether a kept filter moves to where it stands best for all its users.
        limit: Distance past which a filter is not stood for; None stands for every filter.
        below: Share of each network's filters, those of least importance, that may be pruned where they are past the
            limit.

    Returns:
        What becomes of each.

    Examples:
        >>> filters = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 0.1]])
        >>> stack = LayerStack("0", ("0",), filters, torch.zeros(3, dtype=torch.long), (("a",),), filters.abs().sum(1))
        >>> merge = merge_stack(stack, [0], limit=0.5)
        >>> merge.place.tolist(), merge.scales.tolist(), merge.unfit.tolist()
        ([0, 0, 0], [1.0, 2.0, 0.0], [False, False, True])
    """
    place, scales = assign(stack.filters, kept, scale=scale)
    chosen = torch.tensor(list(kept), dtype=torch.long)
    unfit = torch.zeros(stack.size, dtype=torch.bool)
    if limit is not None:
        away = distances(stack.filters, scale=scale)[torch.arange(stack.size), chosen[place]]
        unfit = (away > limit) & stack.least(below)
        unfit[chosen] = False
    bank = stack.filters[chosen]
    if centroids:
        bank, scales = centred(stack.filters, bank, place, scales, scale=scale)
    return Merge(stack, tuple(kept), bank, place, scales, unfit)
