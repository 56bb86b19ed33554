"""Sparse tensors on disk: one bit for each element, and the values that are not zero.

At 90 % zeros a float32 tensor takes 1/32 + 1/10 = 13 % of its dense bytes. Zero means the bits of +0.0: a -0.0
is a value.
"""

import numpy as np
import torch
from torch import Tensor

__all__ = ["MASK", "VALUES", "densify", "is_worth_it", "sparsify"]

MASK, VALUES = "::mask", "::values"
_BITS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_SMALLEST = 64  # elements; below, the names cost more than the zeros


def is_worth_it(tensor: Tensor) -> bool:
    """Return whether mask and values take fewer bytes than the tensor.

    Args:
        tensor: Any dense tensor.

    Examples:
        >>> is_worth_it(torch.eye(16)), is_worth_it(torch.ones(16, 16))
        (True, False)
    """
    if not tensor.is_floating_point() or tensor.numel() < _SMALLEST:
        return False
    values = int(_occupied(tensor).sum())
    return tensor.numel() / 8 + values * tensor.element_size() < tensor.numel() * tensor.element_size()


def sparsify(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """Split a tensor into mask and values.

    Args:
        tensor: A floating tensor.

    Returns:
        The mask as bits in bytes (uint8 ``[ceil(n / 8)]``) and the values (``[number of values]``).
    """
    occupied = _occupied(tensor)
    return torch.from_numpy(np.packbits(occupied.numpy())), tensor.detach().cpu().reshape(-1)[occupied]


def densify(mask: Tensor, values: Tensor, shape: list[int]) -> Tensor:
    """Put a tensor together again, bit for bit.

    Args:
        mask: What `sparsify` returned first.
        values: What it returned second.
        shape: Shape of the tensor.

    Returns:
        The tensor.

    Examples:
        >>> bool((densify(*sparsify(torch.eye(16)), [16, 16]) == torch.eye(16)).all())
        True
    """
    size = int(np.prod(shape, dtype=np.int64))
    occupied = torch.from_numpy(np.unpackbits(mask.numpy(), count=size)).bool()
    dense = torch.zeros(size, dtype=values.dtype)
    dense[occupied] = values
    return dense.reshape(shape)


def _occupied(tensor: Tensor) -> Tensor:
    flat = tensor.detach().cpu().reshape(-1)
    return flat.view(_BITS[tensor.element_size()]) != 0
