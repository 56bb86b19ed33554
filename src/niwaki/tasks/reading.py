"""Readings: one named number of a metric, with its direction and unit."""

from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from niwaki.errors import ContractError, MeasureError
from niwaki.tasks.meters import Metric, MetricCollection

__all__ = ["Reading", "as_reading"]


@dataclass(frozen=True, eq=False)
class Reading:
    """One number read off a metric. Readings that name the same metric object share its state and its work.

    Attributes:
        metric: Any `torchmetrics.Metric`; it is cloned before use.
        direction: ``"higher"`` or ``"lower"``, whichever is better; ``"count"`` for a number that is reported only.
        unit: Unit in words (``"%"``, ``"m"``), or nothing.
        key: Where the number stands in what the metric computes: the key of a dict, the index of a vector.
        scale: Factor from the metric's value to the unit, such as 100 for percent.

    Raises:
        ContractError: When the metric is none of torchmetrics' or the direction is unknown.

    Examples:
        >>> from torchmetrics.classification import MulticlassRecall
        >>> Reading(MulticlassRecall(3, average=None), "higher", key=2, unit="%", scale=100).direction
        'higher'
    """

    metric: Metric
    direction: Literal["higher", "lower", "count"]
    unit: str = ""
    key: str | int | None = None
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.metric, Metric):
            raise ContractError(f"a metric is a torchmetrics.Metric; got {type(self.metric).__name__}")
        if self.direction not in ("higher", "lower", "count"):
            raise ContractError(f"a metric's direction is 'higher', 'lower' or 'count'; got {self.direction!r}")

    def read(self, computed: Any) -> float:
        """Return this reading's number.

        Args:
            computed: What the metric's ``compute`` returned.

        Returns:
            The number, in the reading's unit.

        Raises:
            MeasureError: When there is no single number at `key`.
        """
        value = computed
        if self.key is not None:
            try:
                value = computed[self.key]
            except (KeyError, IndexError, TypeError):
                found = ", ".join(computed) if isinstance(computed, dict) else _brief(computed)
                raise MeasureError(f"{type(self.metric).__name__} computed no {self.key!r}; it has: {found}") from None
        if isinstance(value, Tensor) and value.numel() == 1:
            return float(value) * self.scale
        if isinstance(value, int | float):
            return float(value) * self.scale
        raise MeasureError(
            f"{type(self.metric).__name__} computed {_brief(value)} where one number is expected; "
            "give Reading(metric, direction, key=…) or an averaging metric"
        )


def as_reading(name: str, metric: Metric | Reading | MetricCollection) -> Reading:
    """Return a reading of what a user gives as a metric.

    Args:
        name: The metric's name, for messages.
        metric: A reading, or a torchmetrics metric that knows which direction is better.

    Returns:
        The reading.

    Raises:
        ContractError: When it is neither, a collection of metrics, or does not say which direction is better.

    Examples:
        >>> from torchmetrics import MeanSquaredError
        >>> as_reading("mse", MeanSquaredError()).direction
        'lower'
    """
    if isinstance(metric, Reading):
        return metric
    if isinstance(metric, MetricCollection):
        raise ContractError(
            f"the metric {name!r} is a collection of {', '.join(map(str, metric))}; give it as `metrics` itself, or "
            "unpack it among the others: metrics={**dict(collection.items()), ...}"
        )
    better = getattr(metric, "higher_is_better", None)
    if isinstance(metric, Metric) and better is None:
        raise ContractError(
            f"the metric {name!r} ({type(metric).__name__}) does not say which direction is better; "
            'give Reading(metric, "higher") or Reading(metric, "lower")'
        )
    return Reading(metric, "higher" if better else "lower")


def _brief(value: Any) -> str:
    return f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
