"""Complaints about predictions and targets that name the task, what was got and what was expected."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from niwaki.errors import ContractError

__all__ = ["brief", "expect", "is_integer", "naming", "same_batch"]


def expect(task: str, what: str, value: Any, expected: str, *, fits: bool) -> None:
    """Raise unless a prediction or target fits.

    Args:
        task: Name of the task.
        what: ``"prediction"`` or ``"target"``.
        value: What was got.
        expected: What would have fitted, in words.
        fits: Whether it fits.

    Raises:
        ContractError: When it does not.

    Examples:
        >>> expect("depth", "target", torch.zeros(2, 8), "float[N, 1, H, W]", fits=False)
        Traceback (most recent call last):
        niwaki.errors.ContractError: task 'depth': the target is float32[2, 8]; expected float[N, 1, H, W]
    """
    if not fits:
        raise ContractError(f"task {task!r}: the {what} is {brief(value)}; expected {expected}")


@contextmanager
def naming(task: str, what: str, pred: Any, target: Any) -> Iterator[None]:
    """Say beside an error of somebody else's loss or metric which it was, and what it was given.

    Args:
        task: Name of the task.
        what: Such as ``"the loss"``.
        pred: The prediction.
        target: The target.

    Examples:
        >>> try:
        ...     with naming("depth", "the loss", torch.zeros(2), torch.zeros(3)):
        ...         torch.zeros(2) - torch.zeros(3)
        ... except RuntimeError as error:
        ...     error.__notes__
        ["in the loss of task 'depth', given prediction float32[2] and target float32[3]"]
    """
    try:
        yield
    except Exception as error:
        error.add_note(f"in {what} of task {task!r}, given prediction {brief(pred)} and target {brief(target)}")
        raise


def brief(value: Any) -> str:
    """Return type and shape of a value in one word.

    Examples:
        >>> brief(torch.zeros(2, 3, dtype=torch.int64))
        'int64[2, 3]'
    """
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return type(value).__name__


def is_integer(value: Any) -> bool:
    """Return whether a value is a tensor of whole numbers, bool excepted.

    Examples:
        >>> is_integer(torch.zeros(2, dtype=torch.uint8)), is_integer(torch.zeros(2))
        (True, False)
    """
    return isinstance(value, Tensor) and not value.is_floating_point() and value.dtype != torch.bool


def same_batch(task: str, pred: Any, target: Any) -> None:
    """Raise unless prediction and target have equally many samples; what is no tensor is left to the user's loss.

    Raises:
        ContractError: When the leading dimensions differ.

    Examples:
        >>> same_batch("any", torch.zeros(2, 3), torch.zeros(2))
    """
    if isinstance(pred, Tensor) and isinstance(target, Tensor):
        expected = f"as many samples as the prediction, {brief(pred)}"
        expect(task, "target", target, expected, fits=pred.shape[:1] == target.shape[:1])
