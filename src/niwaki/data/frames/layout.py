"""What a layout says of its frames, and what was found of them on disk."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from niwaki.data.findings import Problem
from niwaki.data.frames.plane import Frame, Plane
from niwaki.data.kinds import kinds_of

__all__ = ["Layout", "Listing", "task_name"]


@dataclass(frozen=True)
class Layout:
    """What frames hold.

    Attributes:
        planes: The kinds of files, the picture first.
        tasks: What the targets are: ready tasks as plain data, in the targets' order.
        classes: Names of the classes, by task.
        kinds: How a target is changed together with the picture, where that does not follow from its task.
        notes: What a user should know of how files are read.
    """

    planes: tuple[Plane, ...]
    tasks: tuple[dict[str, Any], ...]
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(task_name(task) for task in self.tasks)

    @property
    def changes(self) -> dict[str, str]:
        """How each target is changed together with the picture."""
        return {**kinds_of(self.tasks), **self.kinds}

    def only(self, tasks: Collection[str]) -> "Layout":
        """Return the layout with some of its tasks, and without the files of the others.

        Args:
            tasks: Names of the tasks that stay.

        Returns:
            The smaller layout.
        """
        return replace(
            self,
            planes=tuple(each for each in self.planes if each.target is None or each.target in tasks),
            tasks=tuple(each for each in self.tasks if task_name(each) in tasks),
            classes={name: each for name, each in self.classes.items() if name in tasks},
            kinds={name: each for name, each in self.kinds.items() if name in tasks},
        )


@dataclass(frozen=True)
class Listing:
    """The frames on disk.

    Attributes:
        splits: ``train``, and where the data has them ``val``, which picks the epoch, and ``test``.
        problems: The first things wrong with the lists or folders; where there are any, splits may be missing.
        notes: What was decided, such as which folder is which split.
    """

    splits: dict[str, list[Frame]] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()


def task_name(task: Mapping[str, Any]) -> str:
    """Return the name of a ready task in plain data.

    Examples:
        >>> task_name({"kind": "depth"}), task_name({"kind": "depth", "name": "far"})
        ('depth', 'far')
    """
    return str(task.get("name", task["kind"]))
