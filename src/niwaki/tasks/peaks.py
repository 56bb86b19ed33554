"""Peaks of heat: where the true ones are, and which cells of an answer stand out."""

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["local_maxima", "true_peaks"]

_PEAK = 0.999


def true_peaks(target: Tensor) -> Tensor:
    """Return where a target has a peak: Gaussians are drawn with their maximum, 1, on a cell.

    Args:
        target: Heat, any shape; NaN where there is no label.

    Returns:
        bool of the same shape.

    Examples:
        >>> true_peaks(torch.tensor([0.5, 1.0, torch.nan])).tolist()
        [False, True, False]
    """
    return target >= _PEAK


def local_maxima(maps: Tensor, known: Tensor) -> Tensor:
    """Return maps that are -inf everywhere but on the local maxima (3x3) of what is known.

    Args:
        maps: float ``[M, H, W]``.
        known: Where an answer counts, bool ``[M, H, W]``.

    Returns:
        float ``[M, H, W]``.

    Examples:
        >>> local_maxima(torch.tensor([[[1.0, 2.0, 9.0]]]), torch.tensor([[[True, True, False]]]))
        tensor([[[-inf, 2., -inf]]])
    """
    nothing = torch.full((), -torch.inf, dtype=maps.dtype, device=maps.device)
    given = torch.where(known, maps, nothing)
    highest = F.max_pool2d(given[:, None], 3, stride=1, padding=1)[:, 0]
    return torch.where(highest == given, given, nothing)
