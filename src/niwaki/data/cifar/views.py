"""Which records belong to which input, and what their labels are there."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.data.cifar.names import Tree
from niwaki.data.cifar.records import Labels

__all__ = ["View", "by_superclass", "coarse_and_fine"]

Whole = npt.NDArray[np.int64]


class View(NamedTuple):
    """Records with the same tasks.

    Attributes:
        places: Numbers of the records, ascending.
        labels: Task to the label of each of them.
    """

    places: Whole
    labels: dict[str, Whole]

    def some(self, chosen: list[int]) -> "View":
        """Return the view of some of its records."""
        return View(self.places[chosen], {task: values[chosen] for task, values in self.labels.items()})


def by_superclass(labels: Labels, tree: Tree) -> dict[str, View]:
    """Return a view for each superclass: its records, labelled by their class's place in it.

    Args:
        labels: The labels of a file.
        tree: The superclasses.

    Returns:
        Task to view.

    Examples:
        >>> tree = Tree({0: (3, 8), 1: (4, 5)}, ("cars", "boats"), tuple("abcdefghi"), "")
        >>> found = by_superclass(Labels(np.array([0, 1, 0]), np.array([8, 4, 3])), tree)
        >>> found["cars"].places.tolist(), found["cars"].labels["cars"].tolist()
        ([0, 2], [1, 0])
    """
    views = {}
    for superclass, members in tree.members.items():
        task, places = tree.coarse[superclass], np.flatnonzero(labels.coarse == superclass)
        views[task] = View(places, {task: np.searchsorted(members, labels.fine[places])})
    return views


def coarse_and_fine(labels: Labels) -> View:
    """Return the view of all records with both labels as they are.

    Examples:
        >>> coarse_and_fine(Labels(np.array([0, 1]), np.array([8, 4]))).labels["fine"].tolist()
        [8, 4]
    """
    return View(np.arange(len(labels.fine)), {"coarse": labels.coarse, "fine": labels.fine})
