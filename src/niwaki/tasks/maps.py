"""What tasks with a floating target share: prediction and target of one shape."""

from typing import Any

from torch import Tensor

from niwaki.tasks.expect import brief, expect

__all__ = ["check_like"]


def check_like(task: str, pred: Any, target: Any, *, channels: int | None) -> None:
    """Raise unless prediction and target are floating maps of one shape.

    Args:
        task: Name of the task.
        pred: Prediction, ``[N, channels, H, W]``.
        target: Target of the same shape.
        channels: Number of channels, or None where any is right.

    Raises:
        ContractError: When type or shape does not fit.

    Examples:
        >>> import torch
        >>> check_like("depth", torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4), channels=1)
    """
    shape = f"float[N, {'K' if channels is None else channels}, H, W]"
    right = isinstance(pred, Tensor) and pred.is_floating_point() and pred.ndim == 4
    expect(task, "prediction", pred, shape, fits=right and channels in (None, pred.shape[1]))
    fits = isinstance(target, Tensor) and target.is_floating_point() and target.shape == pred.shape
    expect(task, "target", target, f"{shape} like the prediction, {brief(pred)}", fits=fits)
