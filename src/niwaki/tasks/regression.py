"""Regression of numbers or maps: squared or absolute error over what is labelled; NaN is no label."""

from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from niwaki.tasks.colours import INVALID, heat_colours
from niwaki.tasks.expect import brief, expect
from niwaki.tasks.masked import blanked, masked_mean
from niwaki.tasks.meters import Metric
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready
from niwaki.tasks.task import Picture

__all__ = ["Regression", "RegressionScores", "draw_map", "regression_loss"]


def regression_loss(pred: Tensor, target: Tensor, *, error: str = "squared") -> Tensor:
    """Return the mean error over labelled numbers.

    Args:
        pred: Any shape.
        target: The same shape; NaN where there is no label.
        error: ``squared`` or ``absolute``.

    Returns:
        A scalar; zero where nothing is labelled.

    Examples:
        >>> regression_loss(torch.tensor([3.0, 8.0]), torch.tensor([1.0, torch.nan]))
        tensor(4.)
    """
    mask = ~target.isnan()
    difference = blanked(pred, mask) - blanked(target, mask)
    return masked_mean(difference.square() if error == "squared" else difference.abs(), mask)


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


def draw_map(value: Any, target: Any = None) -> Picture | None:
    """Draw a map of numbers, low dark and high bright; unlabelled pixels dark grey.

    Args:
        value: Numbers ``[1, H, W]``; of another shape they have no picture.
        target: Numbers whose range sets the colours, so that prediction and truth can be compared; by default `value`.

    Returns:
        uint8 ``[H, W, 3]``, or None.

    Examples:
        >>> draw_map(torch.full((1, 1, 1), torch.nan))[0, 0].tolist()
        [48, 48, 48]
    """
    if value.ndim != 3 or value.shape[0] != 1:
        return None
    numbers = torch.as_tensor(value).detach().double().cpu()[0].numpy()
    scale = numbers if target is None else torch.as_tensor(target).detach().double().cpu().numpy()
    known = scale[np.isfinite(scale)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    shares = (np.nan_to_num(numbers, posinf=high, neginf=low) - low) / max(high - low, 1e-12)
    picture = heat_colours(shares)
    picture[np.isnan(numbers)] = INVALID
    return picture


@ready("regression")
class Regression(ReadyTask):
    """How much of something there is. Prediction and target float, of one shape ``[N]`` or ``[N, ...]``.

    Metrics: ``mae`` (primary) and ``rmse``.

    Args:
        name: Key of the task.
        unit: Unit of the data.
        error: What the loss is the mean of: ``squared`` or ``absolute`` errors.

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> Regression(name="age", unit="years").units
        {'mae': 'years', 'rmse': 'years'}
    """

    def __init__(
        self, *, name: str = "regression", unit: str = "", error: Literal["squared", "absolute"] = "squared"
    ) -> None:
        self.settings = self.settings_class(name=name, unit=unit, error=error)
        scores = RegressionScores()
        super().__init__(
            name,
            loss=partial(regression_loss, error=error),
            metrics={each: Reading(scores, "lower", unit, key=each) for each in ("mae", "rmse")},
            primary="mae",
            draw=draw_map,
            check=_check,
        )


def _check(task: str, pred: Any, target: Any) -> None:
    fits = isinstance(pred, Tensor) and pred.is_floating_point() and pred.ndim >= 1
    expect(task, "prediction", pred, "float[N, ...]", fits=fits)
    fits = isinstance(target, Tensor) and target.is_floating_point() and target.shape == pred.shape
    expect(task, "target", target, f"floats of the prediction's shape, {brief(pred)}", fits=fits)
