"""Exact choices: how many weights each layer keeps, and which; ties fall by index, never by a threshold."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

__all__ = ["capped_shares", "global_counts", "largest_remainder", "top_k"]


def top_k(scores: Tensor, count: int, among: Tensor | None = None) -> Tensor:
    """Mark exactly ``count`` entries with the highest scores; of equal ones the first.

    Args:
        scores: Any shape; an entry that is NaN comes last.
        count: Entries to mark, at least 0 and at most as many as there are candidates.
        among: The candidates, a bool tensor of the same shape; all by default.

    Returns:
        A bool tensor of the shape of ``scores``.

    Examples:
        >>> top_k(torch.tensor([1.0, 3.0, 1.0, 1.0]), 2).tolist()
        [True, True, False, False]
        >>> top_k(torch.tensor([1.0, 3.0, 1.0, 1.0]), 2, torch.tensor([False, False, True, True])).tolist()
        [False, False, True, True]
    """
    chosen = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    if count <= 0:
        return chosen.view(scores.shape)
    flat = _comparable(scores)
    candidates = flat if among is None else flat[among.reshape(-1)]
    least = candidates.kthvalue(len(candidates) - count + 1).values
    torch.gt(flat, least, out=chosen)
    ties = flat == least
    if among is not None:
        chosen &= among.reshape(-1)
        ties &= among.reshape(-1)
    chosen[ties.nonzero()[: count - int(chosen.count_nonzero()), 0]] = True
    return chosen.view(scores.shape)


def largest_remainder(shares: Sequence[float], total: int, sizes: Sequence[int]) -> list[int]:
    """Round shares to whole numbers that add up exactly: those cut off most are rounded up; ties fall to the first.

    A layer keeps at least one weight, and never more than it has.

    Args:
        shares: Weights that each layer would keep; they add up to about ``total``.
        total: Weights in all, between the number of layers and the sum of ``sizes``.
        sizes: Weights that each layer has, each at least 1.

    Returns:
        Weights that each layer keeps; each less than 1 from its share, but for the bounds.

    Examples:
        >>> largest_remainder([2.5, 2.5, 5.0], 10, [9, 9, 9])
        [3, 2, 5]
    """
    counts = [min(max(int(share), 1), size) for share, size in zip(shares, sizes, strict=True)]
    while (missing := total - sum(counts)) != 0:
        step = 1 if missing > 0 else -1
        able = [i for i, n in enumerate(counts) if (n < sizes[i] if step > 0 else n > 1)]
        able.sort(key=lambda i: (-step * (shares[i] - counts[i]), i))
        for i in able[: abs(missing)]:
            counts[i] += step
    return counts


def capped_shares(weights: Sequence[float], total: float, caps: Sequence[float]) -> list[float]:
    """Share a total in proportion to weights; what a capped one can't take, the others get.

    Args:
        weights: In what proportion, each above 0.
        total: At most the sum of ``caps``.
        caps: The most that each may get.

    Returns:
        The shares, which add up to ``total``.

    Examples:
        >>> capped_shares([1.0, 1.0, 2.0], 10.0, [9.0, 9.0, 4.0])
        [3.0, 3.0, 4.0]
    """
    full: set[int] = set()
    while True:
        rest = [i for i in range(len(caps)) if i not in full]
        left = total - sum(caps[i] for i in full)
        scale = left / sum(weights[i] for i in rest) if rest else 0.0
        over = {i for i in rest if weights[i] * scale > caps[i]}
        if not over:
            return [caps[i] if i in full else weights[i] * scale for i in range(len(caps))]
        full |= over


def global_counts(scores: Mapping[str, Tensor], total: int) -> dict[str, int]:
    """Count how many of the highest scores of all layers together lie in each; a layer keeps at least one weight.

    Args:
        scores: Layer to its scores.
        total: Weights in all, at least one for each layer.

    Returns:
        Layer to the weights it keeps.

    Examples:
        >>> global_counts({"a": torch.tensor([5.0, 4.0]), "b": torch.tensor([1.0, 3.0, 2.0])}, 3)
        {'a': 2, 'b': 1}
    """
    names = list(scores)
    best = {name: top_k(scores[name], 1) for name in names}
    flat = torch.cat([_comparable(scores[name]) for name in names])
    others = torch.cat([~best[name].reshape(-1) for name in names])
    chosen = top_k(flat, total - len(names), others)
    pieces = chosen.split([scores[name].numel() for name in names])
    return {name: 1 + int(piece.count_nonzero()) for name, piece in zip(names, pieces, strict=True)}


def _comparable(scores: Tensor) -> Tensor:
    """Flatten scores and put those that are not numbers last, in a precision that can be ranked."""
    flat = scores.detach().reshape(-1)
    flat = flat if flat.dtype == torch.float64 else flat.float()
    return torch.where(flat.isnan(), -torch.inf, flat) if len(flat) and flat.max().isnan() else flat
