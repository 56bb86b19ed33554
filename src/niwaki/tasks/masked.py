"""Losses over what is labelled: pure functions that give zero, and zero gradients, where nothing is."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["blanked", "labelled_cross_entropy", "masked_mean"]


def blanked(values: Tensor, mask: Tensor) -> Tensor:
    """Return the values with zeros outside the mask.

    To be done *before* any arithmetic: a NaN that is masked afterwards still makes NaN gradients, being zero times NaN.

    Args:
        values: Any shape.
        mask: bool, of a shape that broadcasts to it.

    Returns:
        The values, blanked; their gradient outside the mask is zero.

    Examples:
        >>> blanked(torch.tensor([1.0, torch.nan]), torch.tensor([True, False]))
        tensor([1., 0.])
    """
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean of the values the mask picks, zero where it picks none.

    Args:
        values: Any shape, without NaN outside the mask (see `blanked`).
        mask: bool, the same shape.

    Returns:
        A scalar.

    Examples:
        >>> masked_mean(torch.tensor([1.0, 7.0, 3.0]), torch.tensor([True, False, True]))
        tensor(2.)
    """
    return blanked(values, mask).sum() / mask.sum().clamp(min=1)


def labelled_cross_entropy(pred: Tensor, target: Tensor, *, ignore_index: int) -> Tensor:
    """Return the cross-entropy averaged over labelled elements, zero where there are none.

    Args:
        pred: Logits, ``[N, C, ...]``.
        target: Labels in 0..C-1 or `ignore_index`, ``[N, ...]``, any integer type.
        ignore_index: The label that means "no label".

    Returns:
        A scalar.

    Examples:
        >>> labelled_cross_entropy(torch.zeros(2, 4), torch.tensor([1, -1]), ignore_index=-1)  # ln 4
        tensor(1.3863)
    """
    labels = target.long()
    total = F.cross_entropy(pred, labels, ignore_index=ignore_index, reduction="sum")
    return total / (labels != ignore_index).sum().clamp(min=1)
