"""LibMTL's tasks as they are: its ``task_dict`` in, tasks out. LibMTL itself is not needed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from niwaki.errors import ContractError, MeasureError
from niwaki.tasks.meters import Metric
from niwaki.tasks.reading import Reading
from niwaki.tasks.task import Task

__all__ = ["LibMTLScores", "tasks_from_libmtl"]

_ENTRIES = ("metrics", "metrics_fn", "loss_fn", "weight")


class LibMTLScores(Metric):
    """An object of LibMTL's `AbsMetric` interface as one metric that computes a number for each name.

    Args:
        scores: Has ``update_fun(pred, gt)``, ``score_fun() -> list`` and ``reinit()``.
        names: The names of the numbers, in the order of the list.

    Examples:
        >>> class Count:
        ...     def reinit(self): self.seen = 0
        ...     def update_fun(self, pred, gt): self.seen += len(gt)
        ...     def score_fun(self): return [self.seen]
        >>> scores = LibMTLScores(Count(), ("seen",))
        >>> scores.reset()
        >>> scores.update(torch.zeros(3), torch.zeros(3))
        >>> scores.compute()
        {'seen': 3.0}
    """

    full_state_update = False

    def __init__(self, scores: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.scores = scores
        self.names = tuple(names)

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch."""
        self.scores.update_fun(pred, target)

    def compute(self) -> dict[str, float]:
        """Return the numbers by name.

        Raises:
            MeasureError: When there are more or fewer numbers than names, or the object would have to be gathered over
                processes, which LibMTL's interface can't.
        """
        if self.distributed_available_fn() and torch.distributed.get_world_size() > 1:
            raise MeasureError(
                f"{self._kind} keeps its records in one process and can't be gathered over several; measure in one, "
                "or give torchmetrics metrics"
            )
        found = list(self.scores.score_fun())
        if len(found) != len(self.names):
            raise MeasureError(
                f"{self._kind}.score_fun gave {len(found)} numbers for {len(self.names)} metrics "
                f"({', '.join(self.names)}); give one for each"
            )
        return {name: float(value) for name, value in zip(self.names, found, strict=True)}

    def reset(self) -> None:
        """Forget every batch."""
        super().reset()
        self.scores.reinit()

    @property
    def _kind(self) -> str:
        return type(self.scores).__name__


def tasks_from_libmtl(
    task_dict: Mapping[str, Mapping[str, Any]],
    *,
    primary: Mapping[str, str] | None = None,
    labelled: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
) -> tuple[Task, ...]:
    """Make tasks of LibMTL's ``task_dict``.

    Args:
        task_dict: Task name to ``metrics`` (names), ``metrics_fn`` (an object with ``update_fun``, ``score_fun`` and
            ``reinit``, as LibMTL's `AbsMetric`), ``loss_fn`` (an object with ``compute_loss``, as its `AbsLoss`) and
            ``weight``, which is no weight but each metric's direction: 1 where higher is better, 0 where lower is.
        primary: Task to the metric that stands for it; by default its first.
        labelled: Task to ``labelled(target) -> bool[N, ...]``, as in `Task`. LibMTL knows no missing labels: without
            this a sample is left out only where its floating target is NaN throughout, and what is marked otherwise
            (-1, zeros) is left to the loss and the metrics themselves.

    Returns:
        The tasks, in the order of the dict. Metrics are cloned before use, so LibMTL's own records stay as they are.

    Raises:
        ContractError: When an entry is missing or of another form, or an option names an unknown task.

    Examples:
        >>> class L1:
        ...     def compute_loss(self, pred, gt): return (pred - gt).abs().mean()
        >>> class Error:
        ...     def reinit(self): self.record, self.bs = [], []
        ...     def update_fun(self, pred, gt):
        ...         self.record.append(float((pred - gt).abs().sum()))
        ...         self.bs.append(len(gt))
        ...     def score_fun(self): return [sum(self.record) / sum(self.bs)]
        >>> entry = {"metrics": ["MAE"], "metrics_fn": Error(), "loss_fn": L1(), "weight": [0]}
        >>> age, = tasks_from_libmtl({"age": entry})
        >>> age, age.directions, age.loss(torch.tensor([30.0]), torch.tensor([33.0]))
        (Task('age', metrics=[MAE], primary='MAE'), {'MAE': 'lower'}, tensor(3.))
    """
    if not isinstance(task_dict, Mapping) or not task_dict:
        raise ContractError(
            f"task_dict is LibMTL's dict {{task: {{metrics, metrics_fn, loss_fn, weight}}}}; got {task_dict!r}"
        )
    for option, given in (("primary", primary), ("labelled", labelled)):
        unknown = [name for name in given or {} if name not in task_dict]
        if unknown:
            raise ContractError(f"{option} names {', '.join(unknown)}, but the tasks are: {', '.join(task_dict)}")
    return tuple(
        _task(name, entry, (primary or {}).get(name), (labelled or {}).get(name)) for name, entry in task_dict.items()
    )


def _task(
    name: str, entry: Mapping[str, Any], primary: str | None, labelled: Callable[[Tensor], Tensor] | None
) -> Task:
    missing = [key for key in _ENTRIES if key not in entry]
    if missing:
        raise ContractError(f"task {name!r} of the task_dict lacks {', '.join(missing)}")
    names = _names(name, entry["metrics"])
    loss = getattr(entry["loss_fn"], "compute_loss", None)
    if not callable(loss):
        raise ContractError(
            f"task {name!r}: loss_fn is an object with compute_loss(pred, gt), as LibMTL's AbsLoss; "
            f"got {type(entry['loss_fn']).__name__}"
        )
    lacks = [each for each in ("update_fun", "score_fun", "reinit") if not hasattr(entry["metrics_fn"], each)]
    if lacks:
        raise ContractError(
            f"task {name!r}: metrics_fn is an object with update_fun(pred, gt), score_fun() and reinit(), as LibMTL's "
            f"AbsMetric; {type(entry['metrics_fn']).__name__} has no {', '.join(lacks)}"
        )
    scores = LibMTLScores(entry["metrics_fn"], names)
    directions = _directions(name, entry["weight"], names)
    readings = {each: Reading(scores, directions[each], key=each) for each in names}
    return Task(name, loss=loss, metrics=readings, primary=primary or names[0], labelled=labelled)


def _names(task: str, names: Any) -> tuple[str, ...]:
    listed = tuple(names) if isinstance(names, list | tuple) else ()
    if not listed or len(set(listed)) < len(listed) or not all(isinstance(each, str) for each in listed):
        raise ContractError(f"task {task!r}: metrics is a list of names, each once; got {names!r}")
    return listed


def _directions(task: str, weight: Any, names: Sequence[str]) -> dict[str, Any]:
    listed = list(weight) if isinstance(weight, list | tuple) else []
    if len(listed) != len(names) or any(each not in (0, 1) for each in listed):
        raise ContractError(
            f"task {task!r}: weight has one number for each metric ({', '.join(names)}): 1 where higher is better, "
            f"0 where lower is; got {weight!r}"
        )
    return {name: "higher" if each else "lower" for name, each in zip(names, listed, strict=True)}
