"""Values of sparse tensors in half the bytes: rounded when saved, widened when loaded."""

from typing import Literal, get_args

import torch
from torch import Tensor

from niwaki.errors import ContractError, FileError

__all__ = ["Narrow", "read_narrow", "restored", "rounded"]

Narrow = Literal["float16", "bfloat16"]
"""What values may be rounded to: to 11 significant bits up to 65504, or to 8 bits in float32's range."""


def read_narrow(name: str | None) -> torch.dtype | None:
    """Return the element type that a word names.

    Args:
        name: ``"float16"``, ``"bfloat16"``, or None for values as they are.

    Returns:
        The type, or None.

    Raises:
        ContractError: When it is another word.

    Examples:
        >>> read_narrow("bfloat16"), read_narrow(None)
        (torch.bfloat16, None)
    """
    if name is None:
        return None
    if name not in get_args(Narrow):
        raise ContractError(
            f"values is one of {', '.join(get_args(Narrow))}, or None for values as they are; got {name!r}"
        )
    found: torch.dtype = getattr(torch, name)
    return found


def rounded(values: Tensor, narrow: torch.dtype, name: str) -> Tensor:
    """Round values to the nearest of a narrower type.

    Args:
        values: Finite or not.
        narrow: The type.
        name: The tensor's name, for the message.

    Returns:
        The values; those that were finite still are.

    Raises:
        FileError: When a value is too large for the type.

    Examples:
        >>> rounded(torch.tensor([0.1]), torch.float16, "weight")
        tensor([0.1000], dtype=torch.float16)
    """
    found = values.to(narrow)
    lost = values[found.isinf() & values.isfinite()]
    if lost.numel():
        largest = torch.finfo(narrow).max
        raise FileError(
            f"{name!r} has the value {lost[0].item():.4g}, but {str(narrow).removeprefix('torch.')} ends at "
            f"{largest:.4g}; save with values='bfloat16', or without values to keep every bit"
        )
    return found


def restored(tensor: Tensor, dtype: str | None) -> Tensor:
    """Return a tensor in the type it had before its values were rounded.

    Args:
        tensor: The tensor.
        dtype: Name of the type; None leaves it as it is.

    Returns:
        The tensor.
    """
    return tensor if dtype is None else tensor.to(getattr(torch, dtype))
