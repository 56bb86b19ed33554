"""One validation in one line."""

from collections.abc import Sequence

from niwaki.records import Quality
from niwaki.tasks import Task

__all__ = ["summary"]

_MOST = 6
"""Tasks that are named one by one; of more only the outline is told."""


def summary(quality: Quality, tasks: Sequence[Task]) -> str:
    """Tell the primary metric of each task; of many tasks with one metric the mean, the worst and the best.

    Args:
        quality: Task to metric to value.
        tasks: The tasks; those without a value are left out.

    Returns:
        One line.

    Examples:
        >>> from niwaki.tasks import Classification
        >>> tasks = [Classification(5, name=f"set{i}") for i in range(8)]
        >>> summary({"set1": {"accuracy": 31.25}}, tasks)
        'set1 accuracy 31.25'
        >>> summary({task.name: {"accuracy": 10.0 * i} for i, task in enumerate(tasks)}, tasks)
        'accuracy mean 35 of 8 tasks, worst set0 0, best set7 70'
    """
    values = {task: quality[task.name][task.primary] for task in tasks if task.primary in quality.get(task.name, {})}
    kinds = {(task.primary, task.directions[task.primary]) for task in values}
    if len(values) > _MOST and len(kinds) == 1:
        ((metric, direction),) = kinds
        low, *_, high = sorted(values, key=lambda task: values[task])
        worst, best = (low, high) if direction == "higher" else (high, low)
        mean = sum(values.values()) / len(values)
        ends = ", ".join(f"{word} {task.name} {values[task]:.4g}" for word, task in (("worst", worst), ("best", best)))
        return f"{metric} mean {mean:.4g} of {len(values)} tasks, {ends}"
    told = [f"{task.name} {task.primary} {value:.4g}" for task, value in values.items()]
    return ", ".join(told[:_MOST]) + (f" and {len(told) - _MOST} more" if len(told) > _MOST else "")
