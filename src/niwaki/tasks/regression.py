"""Regression of numbers: squared error over what is labelled; NaN is no label."""

from typing import Any

import torch
from torch import Tensor

from niwaki.tasks.expect import brief, expect
from niwaki.tasks.masked import blanked, masked_mean
from niwaki.tasks.meters import Metric
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready

__all__ = ["Regression", "RegressionScores", "regression_loss"]


def regression_loss(pred: Tensor, target: Tensor) -> Tensor:
    """Return the mean squared error over labelled numbers.

    Args:
        pred: Any shape.
        target: The same shape; NaN where there is no label.

    Returns:
        A scalar; zero where nothing is labelled.

    Examples:
        >>> regression_loss(torch.tensor([3.0, 8.0]), torch.tensor([1.0, torch.nan]))
        tensor(4.)
    """
    mask = ~target.isnan()
    return masked_mean((blanked(pred, mask) - blanked(target, mask)).square(), mask)


class RegressionScores(Metric):
    """Mean absolute and root mean square error over all labelled numbers it has seen.

    Torchmetrics has both, but counts NaN.

    Examples:
        >>> scores = RegressionScores()
        >>> scores.update(torch.tensor([3.0, 8.0]), torch.tensor([1.0, torch.nan]))
        >>> float(scores.compute()["rmse"])
        2.0
    """

    full_state_update = False
    sums: Tensor
    numbers: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("numbers", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch: prediction and target of one shape."""
        mask = ~target.isnan()
        error = (pred[mask] - target[mask]).double()
        self.sums += torch.stack([error.abs().sum(), error.square().sum()])
        self.numbers += mask.sum()

    def compute(self) -> dict[str, Tensor]:
        """Return ``mae`` and ``rmse``."""
        absolute, square = self.sums / self.numbers
        return {"mae": absolute, "rmse": square.sqrt()}


@ready("regression")
class Regression(ReadyTask):
    """How much of something there is. Prediction and target float, of one shape ``[N]`` or ``[N, ...]``.

    The loss is the mean squared error. Metrics: ``mae`` (primary) and ``rmse``.

    Args:
        name: Key of the task.
        unit: Unit of the data.

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> Regression(name="age", unit="years").units
        {'mae': 'years', 'rmse': 'years'}
    """

    def __init__(self, *, name: str = "regression", unit: str = "") -> None:
        self.settings = self.settings_class(name=name, unit=unit)
        scores = RegressionScores()
        super().__init__(
            name,
            loss=regression_loss,
            metrics={each: Reading(scores, "lower", unit, key=each) for each in ("mae", "rmse")},
            primary="mae",
            check=_check,
        )


def _check(task: str, pred: Any, target: Any) -> None:
    fits = isinstance(pred, Tensor) and pred.is_floating_point() and pred.ndim >= 1
    expect(task, "prediction", pred, "float[N, ...]", fits=fits)
    fits = isinstance(target, Tensor) and target.is_floating_point() and target.shape == pred.shape
    expect(task, "target", target, f"floats of the prediction's shape, {brief(pred)}", fits=fits)
