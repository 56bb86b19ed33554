"""A batch brought to a device."""

from collections.abc import Callable
from typing import Any

import torch

from niwaki.contract import Batch, Call, Example

__all__ = ["relocate", "relocate_example"]


def relocate(batch: Batch, move: Callable[[Any], Any], *, channels_last: bool = False) -> Batch:
    """Bring a batch to a device.

    Args:
        batch: Any batch.
        move: Moves nested tensors, such as ``fabric.to_device``.
        channels_last: Whether 4-D inputs are laid out channels last.

    Returns:
        The batch there.
    """

    def place(call: Call) -> Call:
        return Call(relocate_example(call.example, move, channels_last=channels_last), call.tasks)

    return Batch(tuple(map(place, batch.calls)), move(batch.targets))


def relocate_example(example: Any, move: Callable[[Any], Any], *, channels_last: bool = False) -> Any:
    """Bring the inputs of a call to a device.

    Args:
        example: An `Example`, or a list of them.
        move: Moves nested tensors.
        channels_last: Whether 4-D inputs are laid out channels last.

    Returns:
        The same there.
    """
    if isinstance(example, list):
        return [relocate_example(each, move, channels_last=channels_last) for each in example]

    def lay(value: Any) -> Any:
        if channels_last and isinstance(value, torch.Tensor) and value.dim() == 4:
            return value.to(memory_format=torch.channels_last)
        return value

    args, kwargs = move((example.args, example.kwargs))
    return Example(*args, **kwargs).map(lay)
