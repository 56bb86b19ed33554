"""Samples stacked to a batch, also where some of them lack the label of a task."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from niwaki.contract import Example
from niwaki.errors import DataError
from niwaki.tasks import Task

__all__ = ["collate"]


def collate(samples: Sequence[Any], tasks: Sequence[Task] = ()) -> Any:
    """Stack samples to a batch.

    A sample may lack a task's target: the key is missing, or holds None. Where others of the batch have one, it gets a
    target like theirs that holds no label: NaN throughout, or the task's own mark for "no label"
    (`niwaki.tasks.Task.unlabelled`). A task that no sample has is missing from the batch, and so is a key of no task
    that some samples lack.

    Args:
        samples: ``(x, {task: target})`` each; ``x`` is a tensor, a tuple of several inputs, or an `Example`.
        tasks: The tasks, which know how a missing label is marked.

    Returns:
        ``(x, {task: target})`` with a leading batch dimension.

    Raises:
        DataError: When a sample has another form, a missing target can't be marked, or samples are called differently.

    Examples:
        >>> from niwaki.tasks import Classification
        >>> seven, none = (torch.zeros(3), {"kind": 7}), (torch.zeros(3), {})
        >>> collate([seven, none], [Classification(10, name="kind")])[1]
        {'kind': tensor([ 7, -1])}
    """
    odd = next((each for each in samples if not (isinstance(each, tuple | list) and len(each) == 2)), None)
    if odd is not None:
        raise DataError(f"a sample is (x, {{task: target}}); got {type(odd).__name__}")
    targets = [y for _, y in samples]
    if all(isinstance(each, Mapping) for each in targets):
        targets = _completed(targets, {task.name: task for task in tasks})
    return _inputs([x for x, _ in samples]), default_collate(targets)


def _inputs(given: list[Any]) -> Any:
    forms = dict.fromkeys(_form(each) for each in given)
    if len(forms) > 1:
        raise DataError(
            f"samples of one batch are called with different inputs: {' and '.join(forms)}; give every sample the same "
            "ones"
        )
    if isinstance(given[0], tuple):  # several inputs: torch would make a list of them, which means several paths
        return Example(*(default_collate(list(each)) for each in zip(*given, strict=True)))
    if isinstance(given[0], Example):
        args = [_value(list(each)) for each in zip(*(x.args for x in given), strict=True)]
        return Example(*args, **{key: _value([x.kwargs[key] for x in given]) for key in given[0].kwargs})
    return default_collate(given)


def _form(given: Any) -> str:
    if isinstance(given, tuple):
        return f"{len(given)} of a tuple"
    if isinstance(given, Example):
        return f"Example of {len(given.args)} and {sorted(given.kwargs)}"
    return "one input"


def _value(given: list[Any]) -> Any:
    """Stack what holds tensors or arrays; any other value of a call has to be the same for all samples."""
    if isinstance(given[0], Tensor | np.ndarray | Mapping | tuple | list):
        return default_collate(given)
    odd = next((each for each in given if each != given[0]), None)
    if odd is not None:
        raise DataError(
            f"samples of one batch are called with {given[0]!r} and {odd!r}; give values that differ as tensors, or "
            "bring batches of your own"
        )
    return given[0]


def _completed(targets: list[Mapping[str, Any]], tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """Return the targets with the same keys for every sample."""
    present = [{str(name): each for name, each in row.items() if each is not None} for row in targets]
    names = list(dict.fromkeys(name for row in present for name in row))
    gaps = [name for name in names if any(name not in row for row in present)]
    names = [name for name in names if name in tasks or name not in gaps]
    for name in [each for each in gaps if each in tasks]:
        like = torch.as_tensor(next(row[name] for row in present if name in row))
        blank = _blank(tasks[name], like)
        for row in present:
            row[name] = torch.as_tensor(row[name]).to(blank.dtype) if name in row else blank
    return [{name: row[name] for name in names} for row in present]


def _blank(task: Task, like: Tensor) -> Tensor:
    blank = task.unlabelled(like)
    if blank is None:
        raise DataError(
            f"some samples have no target for {task.name}, and its targets ({like.dtype}) have no value that means 'no "
            "label': give the task `labelled=`, a function that knows one, or targets as floats, where NaN is one"
        )
    return blank
