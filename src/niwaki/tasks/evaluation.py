"""Evaluation: the metrics of all tasks over a split, in one of two protocols."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from niwaki.contract import name_outputs
from niwaki.errors import MeasureError, SettingError
from niwaki.tasks.expect import naming
from niwaki.tasks.losses import labelled_parts
from niwaki.tasks.meters import Metric, SumMetric
from niwaki.tasks.ready import build_tasks
from niwaki.tasks.task import Labelled, Task

__all__ = ["PROTOCOLS", "Evaluation", "Protocol"]

Protocol = Literal["pixel", "mtan"]
PROTOCOLS: tuple[Protocol, ...] = ("pixel", "mtan")


class Evaluation:
    """Gathers the metrics of tasks over the batches of a split.

    With ``protocol="pixel"`` every metric is computed once, over all labelled elements of the split: exact, and the
    same for every batch size. With ``"mtan"`` it is the mean of the batches' values, as older tables have it: it
    depends on the batch size and serves only to compare with them. Under `torch.distributed`, `compute` gathers over
    all processes.

    Args:
        tasks: The tasks.
        protocol: ``"pixel"`` or ``"mtan"``; it belongs into every record.

    Raises:
        SettingError: When the protocol is unknown.
        ContractError: When two tasks have one name.

    Examples:
        >>> from niwaki.tasks import Regression
        >>> evaluation = Evaluation([Regression(name="age")])
        >>> evaluation.update({"age": torch.tensor([30.0, 40.0])}, {"age": torch.tensor([33.0, torch.nan])})
        >>> evaluation.compute()
        {'age': {'mae': 3.0, 'rmse': 3.0}}
    """

    def __init__(self, tasks: Iterable[Task], *, protocol: Protocol = "pixel") -> None:
        if protocol not in PROTOCOLS:
            raise SettingError(f"protocol is one of {', '.join(PROTOCOLS)}; got {protocol!r}")
        self.tasks = build_tasks(tasks)
        self.protocol = protocol
        self._scores = {task.name: _Scores(task, by_batch=protocol == "mtan") for task in self.tasks}
        self._targets: set[str] = set()
        self._outputs: set[str] = set()

    @torch.no_grad()
    def update(self, outputs: Any, targets: Mapping[str, Any] | Any) -> None:
        """Add a batch.

        Args:
            outputs: What the model returned: a dict by task, a tuple in task order, or one tensor.
            targets: Task name to target; tasks without labels are passed over, as in `task_losses`.

        Raises:
            ContractError: When a labelled task has no output, or an output or target does not fit its task.
        """
        names = [task.name for task in self.tasks]
        given = targets if isinstance(targets, Mapping) else names
        self._targets.update(str(name) for name in given)
        self._outputs.update(name_outputs(outputs, names))
        for task, part in labelled_parts(self.tasks, outputs, targets):
            self._scores[task.name].update(part)

    def compute(self) -> dict[str, dict[str, float]]:
        """Return task to metric to value, over everything added since the last `reset`.

        Raises:
            MeasureError: When a task had no label at all, or a metric gives no single number.
        """
        empty = [name for name, scores in self._scores.items() if not scores.samples()]
        if empty:
            raise MeasureError(
                f"no label was seen for {', '.join(empty)}: there is nothing to measure; keys of targets: "
                f"{_listed(self._targets)}; outputs: {_listed(self._outputs)}; evaluate on a split that has labels "
                "under the task's name, or leave the task out"
            )
        return {name: scores.compute() for name, scores in self._scores.items()}

    def reset(self) -> None:
        """Forget every batch."""
        self._targets.clear()
        self._outputs.clear()
        for scores in self._scores.values():
            scores.reset()


class _Means(Metric):
    """Means of the values of batches, gathered over processes."""

    full_state_update = False
    totals: Tensor
    batches: Tensor

    def __init__(self, number: int) -> None:
        super().__init__()
        self.add_state("totals", torch.zeros(number, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("batches", torch.zeros(number, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: list[float]) -> None:
        """Add one batch's values; a NaN, such as found peaks where there are none, is not counted."""
        found = torch.tensor(values, dtype=torch.float64, device=self.totals.device)
        self.totals += found.nan_to_num(nan=0.0)
        self.batches += ~found.isnan()

    def compute(self) -> Tensor:
        """Return the mean of each value."""
        return self.totals / self.batches


class _Scores:
    """The metrics of one task: clones of its own, one for each distinct metric object."""

    def __init__(self, task: Task, *, by_batch: bool) -> None:
        self.task = task
        self.metrics = {id(each.metric): each.metric.clone() for each in task.readings.values()}
        self.seen = SumMetric(nan_strategy="ignore")
        self.means = _Means(len(task.readings)) if by_batch else None
        for metric in self.metrics.values():
            metric.reset()
            if by_batch:
                _keep_local(metric)

    def every(self) -> list[Metric]:
        return [*self.metrics.values(), self.seen, *([self.means] if self.means else [])]

    def update(self, part: Labelled) -> None:
        device = _device_of(part.pred)
        for metric in self.every():
            metric.to(device)
        pred, target = (each.to(device) if isinstance(each, Tensor) else each for each in part[:2])
        self.seen.update(part.samples)
        for metric in self.metrics.values():
            if self.means:
                metric.reset()
            with naming(self.task.name, f"the metric {type(metric).__name__}", pred, target):
                metric.update(pred, target)
        if self.means:
            self.means.update(list(self._read().values()))

    def samples(self) -> int:
        return int(_computed(self.seen))

    def compute(self) -> dict[str, float]:
        if self.means is None:
            return self._read()
        return dict(zip(self.task.readings, _computed(self.means).reshape(-1).tolist(), strict=True))

    def reset(self) -> None:
        for metric in self.every():
            metric.reset()

    def _read(self) -> dict[str, float]:
        values = {key: _computed(metric) for key, metric in self.metrics.items()}
        return {name: each.read(values[id(each.metric)]) for name, each in self.task.readings.items()}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"


def _computed(metric: Metric) -> Any:
    with warnings.catch_warnings():  # a process without labels of its own must still take part in the gathering
        warnings.filterwarnings("ignore", message="The ``compute`` method of metric", category=UserWarning)
        return metric.compute()


def _keep_local(metric: Metric) -> None:
    for each in metric.modules():
        if isinstance(each, Metric):
            each.distributed_available_fn = _never


def _never() -> bool:
    return False


def _device_of(pred: Any) -> torch.device:
    """Where metrics are kept: beside the predictions, but not on Apple's GPU, which has no float64."""
    device = pred.device if isinstance(pred, Tensor) else torch.device("cpu")
    return torch.device("cpu") if device.type == "mps" else device
