"""One learned number for each task, stepped by Adam inside the call."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from niwaki.balance.roster import Roster
from niwaki.balance.uncertainty import adam_step

__all__ = ["Logits"]


class Logits:
    """A number for each task with its Adam moments; a task that is absent keeps all of them.

    Args:
        lr: Learning rate, above 0.
        weight_decay: Added to the gradient, times the number, at least 0.

    Examples:
        >>> logits = Logits(lr=0.5)
        >>> logits.of(["depth"], torch.device("cpu")).tolist()
        [0.0]
        >>> logits.step(["depth"], torch.tensor([3.0]))
        >>> logits.of(["depth"], torch.device("cpu")).tolist()
        [-0.5]
    """

    def __init__(self, *, lr: float, weight_decay: float = 0.0) -> None:
        self.lr, self.weight_decay = lr, weight_decay
        self.reset()

    def reset(self) -> None:
        """Start anew at zero."""
        self._roster = Roster()
        self._learned = torch.zeros(0, 3)
        self._steps = torch.zeros(0)

    def of(self, tasks: Iterable[str], device: torch.device) -> Tensor:
        """Return the numbers of some tasks, `[len(tasks)]`; a new one's is zero."""
        rows = self._roster.rows(tasks, device)
        self._learned = self._roster.grown(self._learned.to(device), 0.0)
        self._steps = self._roster.grown(self._steps.to(device), 0.0)
        return self._learned[rows, 0]

    def step(self, tasks: Iterable[str], gradients: Tensor) -> None:
        """Step the numbers of some tasks down their gradients, `[len(tasks)]`."""
        tasks = list(tasks)
        values, rows = self.of(tasks, gradients.device), self._roster.rows(tasks, gradients.device)
        counts = self._steps[rows] + 1
        slopes = gradients + self.weight_decay * values
        moved = adam_step(self._learned[rows].T, slopes, counts, self.lr)
        self._learned = self._learned.index_copy(0, rows, moved.T)
        self._steps = self._steps.index_copy(0, rows, counts)

    def state(self) -> dict[str, Any]:
        """Return what was learned."""
        return {"tasks": list(self._roster.tasks), "learned": self._learned.clone(), "steps": self._steps.clone()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._roster = Roster(state["tasks"])
        self._learned, self._steps = state["learned"].clone(), state["steps"].clone()
