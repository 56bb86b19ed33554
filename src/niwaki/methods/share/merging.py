"""From chosen filters to who draws from whom: pure functions on stacks."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor

from niwaki.methods.share.distance import assign, distances
from niwaki.methods.share.selecting import Selection
from niwaki.methods.share.stack import LayerStack

__all__ = ["Merge", "count_for", "merge_stack", "merge_stacks"]


@dataclass(frozen=True, eq=False)
class Merge:
    """What becomes of the filters of one layer.

    Attributes:
        stack: The filters.
        kept: Rows that stay, increasing.
        place: Place among the kept of the one that stands for each filter, `[N]`.
        scales: Its scale, `[N]`.
        unfit: Whether a filter that is stood for badly, and worth little, may be pruned instead, `[N]`.
    """

    stack: LayerStack
    kept: tuple[int, ...]
    place: Tensor
    scales: Tensor
    unfit: Tensor

    def lost(self) -> float:
        """Return what is lost of the layer, relative to what there was: from 0, nothing, to 1 with scales."""
        filters = self.stack.filters
        made = self.scales[:, None] * filters[list(self.kept)][self.place]
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


def merge_stacks(
    stacks: Sequence[LayerStack], selection: Selection, *, scale: bool, limit: float | None, below: float
) -> tuple[Merge, ...]:
    """Merge every layer; see `merge_stack`. A limit that the selection brings goes before ``limit``."""
    bound = limit if selection.limit is None else selection.limit
    return tuple(
        merge_stack(stack, kept, scale=scale, limit=bound, below=below)
        for stack, kept in zip(stacks, selection.kept, strict=True)
    )


def merge_stack(
    stack: LayerStack, kept: Sequence[int], *, scale: bool = True, limit: float | None = None, below: float = 0.5
) -> Merge:
    """Say for each filter whether it stays, is stood for, or had better go.

    Args:
        stack: The filters.
        kept: Rows that stay, increasing.
        scale: Whether each user of a kept filter has a scale of its own.
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
    unfit = torch.zeros(stack.size, dtype=torch.bool)
    if limit is not None:
        chosen = torch.tensor(list(kept), dtype=torch.long)
        away = distances(stack.filters, scale=scale)[torch.arange(stack.size), chosen[place]]
        unfit = (away > limit) & _least(stack, below)
        unfit[chosen] = False
    return Merge(stack, tuple(kept), place, scales, unfit)


def _least(stack: LayerStack, share: float) -> Tensor:
    """Return which filters are among the least of their network, by importance."""
    found = torch.zeros(stack.size, dtype=torch.bool)
    for number in range(len(stack.members)):
        rows = torch.nonzero(stack.owners == number).flatten()
        order = rows[stack.importance[rows].argsort(stable=True)]
        found[order[: int(share * rows.numel())]] = True
    return found
