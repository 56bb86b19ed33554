"""Tasks: what one output of a network is for, as a value."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niwaki.errors import ContractError
from niwaki.tasks.expect import brief, naming, same_batch
from niwaki.tasks.meters import Metric, MetricCollection
from niwaki.tasks.reading import Reading, as_reading

__all__ = ["Labelled", "Loss", "Picture", "Task"]

Loss = Callable[[Any, Any], Tensor]
Picture = NDArray[np.uint8]
"""``[H, W, 3]`` RGB."""


class Labelled(NamedTuple):
    """The labelled part of a batch: prediction and target of `samples` samples; both whole when that is zero."""

    pred: Any
    target: Any
    samples: int


class Task:
    """One question a network answers: how wrong an answer is, how that is measured, how it looks.

    Samples without any label are left out before loss and metrics see a batch; half precision is raised to float32.

    Args:
        name: The key of the task in outputs, targets and records.
        loss: ``loss(prediction, target) -> scalar``, the mean over what is labelled.
        metrics: Name to a `torchmetrics.Metric` that knows its ``higher_is_better``, or to a `Reading`; or a
            `torchmetrics.MetricCollection` of such metrics, whose names they keep.
        primary: The metric that stands for the task.
        draw: ``draw(value, target) -> uint8[H, W, 3]`` of one sample's prediction or target, or None where it has none.
        labelled: ``labelled(target) -> bool[N, ...]``, where a target holds a label. By default floating targets
            have none where they are NaN, and all others are labelled throughout.
        check: ``check(name, prediction, target)`` raises `ContractError` when the two don't fit the task.

    Raises:
        ContractError: When the name is empty, there is no metric, `primary` is none of them, or a metric does not say
            which direction is better.

    Examples:
        >>> from torchmetrics.classification import BinaryF1Score
        >>> smiling = Task("smiling", loss=torch.nn.functional.binary_cross_entropy_with_logits,
        ...                metrics={"f1": BinaryF1Score()}, primary="f1")
        >>> smiling.directions
        {'f1': 'higher'}
        >>> smiling.loss(torch.zeros(2), torch.tensor([1.0, torch.nan]))  # the second sample has no label
        tensor(0.6931)
    """

    def __init__(
        self,
        name: str,
        *,
        loss: Loss,
        metrics: Mapping[str, Metric | Reading] | MetricCollection,
        primary: str,
        draw: Callable[[Any, Any], Picture | None] | None = None,
        labelled: Callable[[Tensor], Tensor] | None = None,
        check: Callable[[str, Any, Any], None] = same_batch,
    ) -> None:
        if not isinstance(name, str) or not name:
            raise ContractError(f"a task's name is a text of at least one letter; got {name!r}")
        self._name = name
        self._loss = loss
        self._readings = {key: as_reading(key, metric) for key, metric in metrics.items()}
        if primary not in self._readings:
            known = ", ".join(self._readings) or "none"
            raise ContractError(f"task {name!r}: the primary metric {primary!r} is none of its metrics ({known})")
        if self._readings[primary].direction == "count":
            raise ContractError(f"task {name!r}: the primary metric {primary!r} is a count; give it a direction")
        self._primary = primary
        self._draw = draw
        self._labelled = labelled or _numbers
        self._check = check

    @property
    def name(self) -> str:
        """The key of the task in outputs, targets and records."""
        return self._name

    @property
    def primary(self) -> str:
        """The metric that stands for the task."""
        return self._primary

    @property
    def readings(self) -> dict[str, Reading]:
        """Metric name to where its number comes from."""
        return dict(self._readings)

    @property
    def directions(self) -> dict[str, str]:
        """Metric name to ``"higher"`` or ``"lower"``, whichever is better; counts have none."""
        return {key: each.direction for key, each in self._readings.items() if each.direction != "count"}

    @property
    def units(self) -> dict[str, str]:
        """Metric name to its unit, which may be empty."""
        return {key: each.unit for key, each in self._readings.items()}

    def __repr__(self) -> str:
        return f"Task({self.name!r}, metrics=[{', '.join(self._readings)}], primary={self.primary!r})"

    def loss(self, pred: Any, target: Any) -> Tensor:
        """Return the loss over the labelled part of a batch, in float32 even under autocast.

        Args:
            pred: The task's output for the batch.
            target: The task's target.

        Returns:
            A scalar; where nothing is labelled, a zero that still hangs on the graph and gives zero gradients.

        Raises:
            ContractError: When prediction and target don't fit the task, or the loss is no scalar.
        """
        return self.loss_of(self.labelled_part(pred, target))

    def loss_of(self, part: Labelled) -> Tensor:
        """Return the loss of what `labelled_part` returned; otherwise as `loss`.

        Raises:
            ContractError: When the loss is no scalar.
        """
        if part.samples == 0:
            return part.pred.flatten()[:0].sum() if isinstance(part.pred, Tensor) else torch.zeros(())
        told = naming(self.name, "the loss", part.pred, part.target)
        with told, torch.autocast(_device_type(part.pred), enabled=False):
            value = self._loss(part.pred, part.target)
        if not isinstance(value, Tensor) or value.numel() != 1:
            raise ContractError(f"task {self.name!r}: the loss is {brief(value)}; expected one number in a tensor")
        return value.reshape(())

    def labelled(self, target: Tensor) -> Tensor:
        """Return where a batch's target holds a label: bool ``[N, ...]``, with one channel where labels are vectors."""
        return self._labelled(target)

    def has_labels(self, target: Any) -> bool:
        """Return whether a batch's target holds any label at all; None holds none."""
        return target is not None and bool(self._samples(target).any())

    def unlabelled(self, like: Tensor) -> Tensor | None:
        """Return a sample's target that holds no label, for a sample that has none.

        Args:
            like: Another sample's target.

        Returns:
            A target of its shape, filled with NaN or a number that ``labelled`` does not take for a label, in a type
            that holds it; None where there is no such value.

        Examples:
            >>> from niwaki.tasks import Segmentation
            >>> Segmentation(3, ignore_index=255).unlabelled(torch.zeros(2, dtype=torch.uint8))
            tensor([255, 255], dtype=torch.uint8)
        """
        marks = (math.nan, *self._marks) if like.is_floating_point() else self._marks
        blanks = (torch.full(like.shape, mark, dtype=_holding(mark, like.dtype)) for mark in marks)
        return next((each for each in blanks if not self._labelled(each[None]).any()), None)

    def labelled_part(self, pred: Any, target: Any) -> Labelled:
        """Return prediction and target of the samples that have any label, in float32 or wider.

        Args:
            pred: The task's output for the batch.
            target: The task's target.

        Returns:
            Prediction, target and the number of samples.

        Raises:
            ContractError: When prediction and target don't fit the task.
        """
        self._check(self.name, pred, target)
        pred, target = _at_least_float32(pred), _at_least_float32(target)
        samples = self._samples(target)
        number = int(samples.sum())
        if 0 < number < len(samples) and isinstance(pred, Tensor):
            return Labelled(pred[samples], target[samples], number)
        return Labelled(pred, target, number)

    def draw(self, value: Any, target: Any = None) -> Picture | None:
        """Draw one sample's prediction or target.

        Args:
            value: Prediction or target of one sample, without the batch dimension.
            target: The sample's target, where colours are to be scaled by it.

        Returns:
            RGB picture uint8 ``[H, W, 3]``, or None for a task that has no picture.

        Raises:
            ContractError: When the task's own drawing is no such picture.
        """
        if self._draw is None:
            return None
        drawn = self._draw(value, target)
        if drawn is None:
            return None
        picture = np.asarray(drawn)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            got = f"{picture.dtype}{list(picture.shape)}"
            raise ContractError(f"task {self.name!r}: the drawing is {got}; expected uint8[H, W, 3]")
        return picture

    @property
    def _marks(self) -> tuple[int, ...]:
        """Whole numbers that may mean "no label": the customary ones."""
        return (-1, 255, -100, 0)

    def _samples(self, target: Any) -> Tensor:
        if not isinstance(target, Tensor):
            return torch.ones(1, dtype=torch.bool)
        mask = self._labelled(target)
        return mask.reshape(1) if mask.ndim == 0 else mask.flatten(1).any(1) if mask.ndim > 1 else mask


def _numbers(target: Tensor) -> Tensor:
    return ~target.isnan() if target.is_floating_point() else torch.ones_like(target, dtype=torch.bool)


def _holding(value: float, dtype: torch.dtype) -> torch.dtype:
    """Return a type that holds a value: the given one, where it does."""
    if dtype.is_floating_point or dtype is torch.bool:
        return dtype if dtype.is_floating_point else torch.int64
    limits = torch.iinfo(dtype)
    return dtype if limits.min <= value <= limits.max else torch.int64


def _at_least_float32(value: Any) -> Any:
    half = isinstance(value, Tensor) and value.is_floating_point() and value.element_size() < 4
    return value.float() if half else value


def _device_type(value: Any) -> str:
    return value.device.type if isinstance(value, Tensor) else "cpu"
