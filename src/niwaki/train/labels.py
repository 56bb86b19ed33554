"""Which tasks have labels: a key that nobody reads would train without its task, and say nothing."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from niwaki.contract import read_batch
from niwaki.errors import DataError, TrainingError
from niwaki.tasks import Task
from niwaki.train.streams import Batches

__all__ = ["SeenLabels", "require_targets"]


@dataclass
class SeenLabels:
    """What the batches of an epoch had.

    Attributes:
        tasks: Tasks that had a label.
        keys: Keys of targets that were not None.

    Examples:
        >>> seen = SeenLabels()
        >>> seen.add({"seg": 0}, [])
        >>> sorted(seen.keys), seen.tasks
        (['seg'], set())
    """

    tasks: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    def add(self, targets: Mapping[str, Any], labelled: Iterable[str]) -> None:
        """Take note of a batch.

        Args:
            targets: Its targets.
            labelled: The tasks that it has a label for.
        """
        self.keys.update(_keys(targets))
        self.tasks.update(labelled)

    def state(self) -> dict[str, list[str]]:
        """Return what was seen as plain data."""
        return {"tasks": sorted(self.tasks), "keys": sorted(self.keys)}

    @classmethod
    def of(cls, state: Mapping[str, Iterable[str]]) -> Self:
        """Return what `state` wrote down."""
        return cls(set(state["tasks"]), set(state["keys"]))

    def require(self, tasks: Iterable[Task], *, whole: bool) -> None:
        """Refuse to go on where a task was not trained.

        Args:
            tasks: The tasks.
            whole: Whether the epoch was seen to its end: labels may still come where it was not, but no other keys.

        Raises:
            TrainingError: With the tasks that had no label, and the keys there were.
        """
        without = [task.name for task in tasks if task.name not in self.tasks]
        missing = [name for name in without if whole or name not in self.keys]
        if missing:
            raise TrainingError(
                f"no label came in the first epoch for {', '.join(missing)}: it was not trained; the loop saw targets "
                f"for: {_listed(self.keys)}; give targets under the task's name, or leave the task out"
            )


def require_targets(batches: Batches, tasks: Sequence[Task]) -> None:
    """Refuse a validation split that has no target for a task, before any training.

    It is read until every task was seen: as a rule, its first batch. Generators and the split's state stay as they are.

    Args:
        batches: The split.
        tasks: The tasks.

    Raises:
        DataError: When a task's key is in no batch; with the keys there were.
    """
    names = [task.name for task in tasks]
    missing, seen = set(names), set[str]()
    for raw in batches.peek():
        keys = _keys(read_batch(raw, names).targets)
        seen |= keys
        missing -= keys
        if not missing:
            break
    if missing:
        which = ", ".join(name for name in names if name in missing)
        raise DataError(
            f"the validation data has no targets for {which}; its targets are for: {_listed(seen)}; "
            "give targets under the task's name, or leave the task out"
        )


def _keys(targets: Mapping[str, Any]) -> set[str]:
    return {str(name) for name, target in targets.items() if target is not None}


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
