"""How well one filter stands for another: distances with one scale for each user, and who is stood for by whom."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["assign", "cosines", "distances", "errors"]


def cosines(filters: Tensor) -> Tensor:
    """Return the cosine of every pair of filters.

    Args:
        filters: `[N, d]`.

    Returns:
        `[N, N]` in [-1, 1]; 0 where either filter is zero.

    Examples:
        >>> cosines(torch.tensor([[3.0, 4.0], [0.0, 0.0], [4.0, 3.0]]))
        tensor([[1.0000, 0.0000, 0.9600],
                [0.0000, 0.0000, 0.0000],
                [0.9600, 0.0000, 1.0000]])
    """
    norms = filters.norm(dim=1)
    unit = filters / torch.where(norms > 0, norms, torch.ones_like(norms))[:, None]
    return (unit @ unit.T).clamp(-1, 1)


def errors(filters: Tensor, *, scale: bool = True) -> Tensor:
    """Return what is lost where one filter takes another's place.

    ``E_ij = |X_i - a_ij X_j|^2``, with ``a_ij = max(0, <X_i, X_j>) / |X_j|^2``, or 1 without scales.

    Args:
        filters: X, `[N, d]`.
        scale: Whether each user has a scale of its own.

    Returns:
        E, `[N, N]`, at least 0; the diagonal is 0.

    Examples:
        >>> errors(torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]]))
        tensor([[ 0.,  0.,  4.],
                [ 0.,  0., 16.],
                [ 1.,  1.,  0.]])
    """
    if scale:
        lost = filters.square().sum(1, keepdim=True) * _turned(filters)
    else:
        # pairs of differences, since |x|^2 + |y|^2 - 2<x, y> cancels where filters are nearly equal
        lost = torch.cdist(filters, filters, compute_mode="donot_use_mm_for_euclid_dist").square()
    return lost.fill_diagonal_(0)


def distances(filters: Tensor, *, scale: bool = True) -> Tensor:
    """Return what is lost relative to what there was: ``D_ij = E_ij / |X_i|^2``, and 0 for a zero filter.

    Args:
        filters: X, `[N, d]`.
        scale: Whether each user has a scale of its own; then ``D = 1 - max(0, cos)^2``, in [0, 1].

    Returns:
        D, `[N, N]`; row i is about the filter that is stood for.

    Examples:
        >>> distances(torch.tensor([[1.0, 0.0], [100.0, 0.0]]), scale=False)
        tensor([[0.0000e+00, 9.8010e+03],
                [9.8010e-01, 0.0000e+00]])
    """
    squares = filters.square().sum(1, keepdim=True)
    if scale:
        return torch.where(squares > 0, _turned(filters), 0).fill_diagonal_(0)
    return torch.where(squares > 0, errors(filters, scale=False) / torch.where(squares > 0, squares, 1), 0)


def assign(filters: Tensor, kept: Sequence[int], *, scale: bool = True) -> tuple[Tensor, Tensor]:
    """Say which kept filter stands for each filter, and at what scale.

    ``I[i] = argmin_{j in S} E_ij``, the first of equals; a kept filter stands for itself at scale 1.

    Args:
        filters: X, `[N, d]`.
        kept: S, row numbers, increasing.
        scale: Whether each user has a scale of its own.

    Returns:
        Place among the kept, `[N]`, and scale, `[N]`; ones without scales.

    Examples:
        >>> assign(torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 1.0]]), [0, 2])
        (tensor([0, 0, 1]), tensor([1., 2., 1.]))
    """
    chosen = torch.tensor(list(kept), dtype=torch.long)
    place = errors(filters, scale=scale)[:, chosen].argmin(1)
    place[chosen] = torch.arange(chosen.numel())
    if not scale:
        return place, torch.ones(len(filters), dtype=filters.dtype)
    stands = filters[chosen][place]
    squares = stands.square().sum(1)
    scales = (filters * stands).sum(1).clamp(min=0) / torch.where(squares > 0, squares, torch.ones_like(squares))
    scales[chosen] = 1
    return place, scales


def _turned(filters: Tensor) -> Tensor:
    """Return what is lost of a filter of length 1, by the direction of the one that stands for it."""
    return 1 - cosines(filters).clamp(min=0).square()
