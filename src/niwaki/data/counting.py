"""What a look at class labels brings up: how often each class of each task is there, split by split."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from niwaki.data.findings import Findings

__all__ = ["ClassFindings", "LabelCounts"]


@dataclass(frozen=True)
class LabelCounts:
    """How often each class of one task was seen.

    Attributes:
        task: Its name.
        counts: Split to the number of samples of each class, int ``[classes]``.
    """

    task: str
    counts: Mapping[str, npt.NDArray[np.int64]]


@dataclass(frozen=True)
class ClassFindings(Findings):
    """What a data set with class labels holds: one row a task. All tasks have the same splits, training first.

    Attributes:
        tasks: One entry a task; empty when there are problems.

    Examples:
        >>> found = ClassFindings(tasks=(LabelCounts("left", {"train": np.array([3, 0]), "test": np.array([1, 1])}),))
        >>> found.columns
        ('task', 'classes', 'train', 'test', 'rarest class (train)', 'commonest class (train)')
        >>> found.rows
        (('left', '2', '3', '2', '0', '3'),)
    """

    tasks: tuple[LabelCounts, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the table of what was found."""
        splits = list(self.tasks[0].counts) if self.tasks else [""]
        return ("task", "classes", *splits, f"rarest class ({splits[0]})", f"commonest class ({splits[0]})")

    @property
    def words(self) -> int:
        """How many of the first columns hold words."""
        return 1

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Cells of the table of what was found, as text."""
        return tuple(_row(each) for each in self.tasks)


def _row(each: LabelCounts) -> tuple[str, ...]:
    totals = (f"{int(found.sum()):,}" for found in each.counts.values())
    learned = next(iter(each.counts.values()))
    return (each.task, str(len(learned)), *totals, f"{learned.min():,}", f"{learned.max():,}")
