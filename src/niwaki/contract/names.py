"""Tasks as others name them: by a task or by its name."""

from collections.abc import Sequence
from typing import Protocol

from niwaki.errors import ContractError

__all__ = ["Named", "task_names"]


class Named(Protocol):
    """What most of the house needs of a task: its name."""

    @property
    def name(self) -> str:
        """The task's name, which is also its output's."""
        ...


def task_names(tasks: Sequence[Named | str] | None) -> list[str] | None:
    """Return the names of tasks, in order.

    Args:
        tasks: The tasks, their names, or None.

    Returns:
        Their names, or None.

    Raises:
        ContractError: When one text stands for the list, something has no name, or two tasks have one name.

    Examples:
        >>> task_names(["depth", "normals"])
        ['depth', 'normals']
    """
    if tasks is None:
        return None
    if isinstance(tasks, str):
        raise ContractError(f"tasks is a list of tasks or names; write tasks=[{tasks!r}] for a single one")
    try:
        names = [task if isinstance(task, str) else task.name for task in tasks]
    except (TypeError, AttributeError):
        raise ContractError(
            f"tasks is a list of tasks or names, such as [nw.Depth(), 'edges']; got {tasks!r}"
        ) from None
    if len(set(names)) < len(names):
        raise ContractError(f"every task needs a name of its own; got {', '.join(names)}")
    return names
