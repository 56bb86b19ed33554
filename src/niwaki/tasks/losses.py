"""The losses of all tasks for one batch."""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from niwaki.contract import name_outputs
from niwaki.errors import ContractError
from niwaki.tasks.task import Labelled, Task

__all__ = ["labelled_parts", "task_losses"]


def task_losses(tasks: Iterable[Task], outputs: Any, targets: Mapping[str, Any] | Any) -> dict[str, Tensor]:
    """Return the loss of every task that has labels in the batch.

    Args:
        tasks: The tasks.
        outputs: What the model returned: a dict by task, a tuple in task order, or one tensor. A task without labels
            needs no output.
        targets: Task name to target; a task may be missing, None, or without labels. One task's target may stand
            alone.

    Returns:
        Task name to scalar, in the order of the tasks; empty when nothing in the batch is labelled.

    Raises:
        ContractError: When a labelled task has no output, or an output or target does not fit its task.

    Examples:
        >>> import torch
        >>> from niwaki.tasks import Depth, Regression
        >>> outputs = {"depth": torch.ones(1, 1, 2, 2), "age": torch.tensor([30.0])}
        >>> task_losses([Depth(), Regression(name="age")], outputs, {"age": torch.tensor([33.0])})
        {'age': tensor(9.)}
    """
    return {task.name: task.loss_of(part) for task, part in labelled_parts(tasks, outputs, targets)}


def labelled_parts(
    tasks: Iterable[Task], outputs: Any, targets: Mapping[str, Any] | Any
) -> list[tuple[Task, Labelled]]:
    """Return the labelled part of every task that has labels in the batch; arguments as of `task_losses`.

    Raises:
        ContractError: When a labelled task has no output, or outputs and tasks don't match in number.

    Examples:
        >>> labelled_parts([], {}, {})
        []
    """
    chosen = list(tasks)
    if not isinstance(targets, Mapping):
        if len(chosen) != 1:
            names = ", ".join(task.name for task in chosen)
            raise ContractError(f"targets are a dict keyed by task ({names}); got {type(targets).__name__}")
        targets = {chosen[0].name: targets}
    by_task = name_outputs(outputs, [task.name for task in chosen])
    given = [(task, targets[task.name]) for task in chosen if targets.get(task.name) is not None]
    for task, target in given:
        if task.name not in by_task and task.has_labels(target):
            known = ", ".join(by_task) or "none"
            raise ContractError(f"task {task.name!r} has labels in this batch, but no output; the model gave: {known}")
    parts = [(task, task.labelled_part(by_task[task.name], target)) for task, target in given if task.name in by_task]
    return [(task, part) for task, part in parts if part.samples]
