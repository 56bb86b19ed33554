"""Indices as bits: what choosing one of K rows for each of n channels costs to store."""

from collections.abc import Sequence
from math import ceil

import numpy as np
import torch
from torch import Tensor

__all__ = ["bits_for", "bytes_for", "pack", "unpack"]


def bits_for(choices: int) -> int:
    """Return how many bits tell one of some things from the others.

    Args:
        choices: How many there are, at least 1.

    Returns:
        The logarithm to base 2, rounded up.

    Examples:
        >>> [bits_for(choices) for choices in (1, 2, 3, 64, 65)]
        [0, 1, 2, 6, 7]
    """
    return (choices - 1).bit_length()


def bytes_for(count: int, bits: int) -> int:
    """Return how many bytes some numbers take, packed.

    Args:
        count: How many there are.
        bits: Bits for each.

    Returns:
        Whole bytes.

    Examples:
        >>> bytes_for(12, 5)
        8
    """
    return ceil(count * bits / 8)


def pack(numbers: Sequence[int], bits: int) -> Tensor:
    """Store numbers with some bits each, without gaps.

    Args:
        numbers: In [0, 2 ** bits).
        bits: Bits for each, at least 0.

    Returns:
        `[ceil(len(numbers) * bits / 8)]` bytes, uint8.

    Examples:
        >>> pack([1, 0, 3], bits=2)
        tensor([76], dtype=torch.uint8)
        >>> unpack(pack([1, 0, 3], bits=2), bits=2, count=3)
        [1, 0, 3]
    """
    each = np.asarray(numbers, dtype=np.int64).reshape(-1, 1)
    digits = (each >> np.arange(bits - 1, -1, -1)) & 1
    return torch.from_numpy(np.packbits(digits.astype(np.uint8).reshape(-1)))


def unpack(packed: Tensor, bits: int, count: int) -> list[int]:
    """Read numbers that `pack` stored.

    Args:
        packed: The bytes.
        bits: Bits for each number.
        count: How many numbers there are.

    Returns:
        The numbers.
    """
    assert packed.numel() == bytes_for(count, bits)
    digits = np.unpackbits(packed.cpu().numpy())[: count * bits].reshape(count, bits).astype(np.int64)
    return [int(each) for each in digits @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))]
