"""Where tasks stand in vectors that grow when a new one is seen."""

from collections.abc import Iterable

import torch
from torch import Tensor

__all__ = ["Roster"]


class Roster:
    """The tasks seen so far, in the order in which they were first seen.

    Examples:
        >>> roster = Roster()
        >>> roster.rows(["depth", "normals"], torch.device("cpu")).tolist(), roster.grown(torch.zeros(1), 7.0).tolist()
        ([0, 1], [0.0, 7.0])
        >>> roster.rows(["parts", "depth"], torch.device("cpu")).tolist(), roster.tasks
        ([2, 0], ['depth', 'normals', 'parts'])
    """

    def __init__(self, tasks: Iterable[str] = ()) -> None:
        self.tasks = list(tasks)
        self._rows: dict[tuple[tuple[str, ...], torch.device], Tensor] = {}

    def __len__(self) -> int:
        return len(self.tasks)

    def rows(self, tasks: Iterable[str], device: torch.device) -> Tensor:
        """Return where some tasks stand, `[len(tasks)]`; those never seen are taken in.

        Args:
            tasks: Their names.
            device: Where the answer lies.
        """
        names = tuple(tasks)
        if (names, device) not in self._rows:
            self.tasks += [task for task in names if task not in self.tasks]
            self._rows[names, device] = torch.tensor([self.tasks.index(task) for task in names], device=device)
        return self._rows[names, device]

    def grown(self, vector: Tensor, value: float) -> Tensor:
        """Return a tensor with an entry, or a row, for every task: its own, then a value for each new task."""
        missing = len(self.tasks) - len(vector)
        return torch.cat((vector, vector.new_full((missing, *vector.shape[1:]), value))) if missing else vector
