"""What tasks with class labels share: where a label is, and that it is one of the classes."""

from typing import Any

from torch import Tensor

from niwaki.errors import ContractError
from niwaki.tasks.expect import brief, expect, is_integer

__all__ = ["check_labels", "labelled_elements"]


def labelled_elements(target: Tensor, *, ignore_index: int) -> Tensor:
    """Return where a target holds a label: bool, of the target's shape."""
    return target != ignore_index


def check_labels(task: str, pred: Any, target: Any, *, dims: str, classes: int, ignore_index: int) -> None:
    """Raise unless logits and labels fit each other and the number of classes.

    Args:
        task: Name of the task.
        pred: Logits, ``[N, classes, *dims]``.
        target: Labels, ``[N, *dims]``, an integer type; 0..classes-1 or `ignore_index`.
        dims: Names of the trailing dimensions, such as ``", H, W"``.
        classes: Number of classes.
        ignore_index: The label that means "no label".

    Raises:
        ContractError: When type, shape or a label does not fit.

    Examples:
        >>> import torch
        >>> check_labels("kind", torch.zeros(2, 5), torch.tensor([4, -1]), dims="", classes=5, ignore_index=-1)
    """
    number = 2 + dims.count(",")
    fits = isinstance(pred, Tensor) and pred.is_floating_point() and pred.ndim == number and pred.shape[1] == classes
    expect(task, "prediction", pred, f"logits float[N, {classes}{dims}]", fits=fits)
    fits = is_integer(target) and target.shape == pred.shape[:1] + pred.shape[2:]
    expect(task, "target", target, f"labels int[N{dims}] for the prediction {brief(pred)}", fits=fits)
    wrong = (target != ignore_index) & ((target < 0) | (target >= classes))
    if wrong.any():
        label = int(target[wrong][0])
        raise ContractError(
            f"task {task!r}: the target holds the label {label}; expected 0..{classes - 1}, "
            f"or {ignore_index} for 'no label' (set classes or ignore_index)"
        )
