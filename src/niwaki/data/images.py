"""Resizing of pictures and of targets, which must not be mixed."""

import numpy as np
import numpy.typing as npt
from torch import Tensor
from torch.nn import functional as F

__all__ = ["nearest", "resample"]


def resample(image: Tensor, size: tuple[int, int]) -> Tensor:
    """Return a picture in another size: averaged where it shrinks, interpolated where it grows.

    Args:
        image: ``float [C, H, W]``.
        size: New height and width.

    Returns:
        ``float [C, *size]``.

    Examples:
        >>> import torch
        >>> resample(torch.tensor([[[0.0, 1.0], [1.0, 2.0]]]), (1, 1))
        tensor([[[1.]]])
    """
    if tuple(image.shape[-2:]) == size:
        return image
    shrinks = size[0] <= image.shape[-2] and size[1] <= image.shape[-1]
    if shrinks:
        return F.interpolate(image[None], size, mode="area")[0]
    return F.interpolate(image[None], size, mode="bilinear", align_corners=False)[0]


def nearest(target: npt.NDArray[np.generic], size: tuple[int, int]) -> npt.NDArray[np.generic]:
    """Return a target in another size, every value one that was there.

    Args:
        target: ``[H, W, ...]``.
        size: New height and width.

    Returns:
        ``[*size, ...]``.

    Examples:
        >>> nearest(np.array([[1, 2, 3, 4]]), (1, 2))
        array([[2, 4]])
    """
    if target.shape[:2] == size:
        return target
    rows, columns = (((2 * np.arange(n) + 1) * m) // (2 * n) for n, m in zip(size, target.shape[:2], strict=True))
    chosen: npt.NDArray[np.generic] = target[rows[:, None], columns]
    return chosen
