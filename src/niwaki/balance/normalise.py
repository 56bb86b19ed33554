"""What a task's loss is divided by, so that tasks with different units can be compared."""

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from niwaki.balance.options import not_allowed
from niwaki.balance.roster import Roster
from niwaki.errors import ContractError

__all__ = ["FIRST_STEPS", "LossScale", "Normalise"]

Normalise = Literal["initial", "reference", "running", "none"] | dict[str, float]

FIRST_STEPS = 20
"""Steps with the task whose mean loss is its initial loss."""
_RUNNING_SHARE = 0.01


class LossScale:
    """A scale for each task, from what its losses were; nothing waits for the device.

    It is positive: of a loss that may be negative its size counts, and a zero counts as 1.

    Args:
        kind: The balancer, for messages.
        normalise: ``"initial"``, the mean of the first steps in which the task was seen; ``"reference"``, what `refer`
            was told; ``"running"``, a moving mean of the task's losses; ``"none"``, 1; or task name to scale.

    Raises:
        SettingError: When it is something else.

    Examples:
        >>> scale, roster = LossScale("MinMax", "initial"), Roster()
        >>> rows = roster.rows(["depth"], torch.device("cpu"))
        >>> scale.watch(roster, rows, torch.tensor([4.0])).tolist()
        [4.0]
        >>> scale.watch(roster, rows, torch.tensor([2.0])).tolist()
        [3.0]
    """

    def __init__(self, kind: str, normalise: Normalise) -> None:
        words = ("initial", "reference", "running", "none")
        given: Normalise = dict(normalise) if isinstance(normalise, Mapping) else normalise
        if isinstance(given, dict):
            for task, scale in given.items():
                if not 0 < scale < math.inf:
                    raise not_allowed(kind, f"normalise.{task}", scale, "a number above 0")
        elif given not in words:
            raise not_allowed(kind, "normalise", normalise, f"{', '.join(words)} or a scale for each task")
        self.normalise: Normalise = given
        self.reset()

    def reset(self) -> None:
        """Forget all losses and the reference."""
        self._means = torch.zeros(0)
        self._counts = torch.zeros(0)
        self._reference: dict[str, float] = {}

    def refer(self, losses: Mapping[str, float]) -> None:
        """Set the reference's losses.

        Args:
            losses: Task name to the loss of a reference, such as the dense or the single-task model.
        """
        self._reference = {task: abs(float(loss)) for task, loss in losses.items()}

    def watch(self, roster: Roster, rows: Tensor, values: Tensor) -> Tensor:
        """Take the losses of a step, and return the scale of every task of the roster, `[K]`.

        Args:
            roster: The tasks.
            rows: Where the tasks of the losses stand.
            values: Their losses, without graph.

        Raises:
            ContractError: When a scale, or the reference's loss, was never given for a task.
        """
        if self.normalise == "none":
            return values.new_ones(len(roster))
        if isinstance(self.normalise, dict):
            return _given(self.normalise, roster, values, "`normalise` has no scale", "add one")
        if self.normalise == "reference":
            advice = "call refer({task: loss}) with the reference's losses first"
            sizes = _given(self._reference, roster, values, "there is no reference loss", advice)
        else:
            sizes = self._moved(roster, rows, values).abs()
        return torch.where(sizes > 0, sizes, 1.0)

    def state(self) -> dict[str, Any]:
        """Return what was learned."""
        return {"means": self._means.clone(), "counts": self._counts.clone(), "reference": dict(self._reference)}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from a state."""
        self._means, self._counts = state["means"].clone(), state["counts"].clone()
        self._reference = dict(state["reference"])

    def _moved(self, roster: Roster, rows: Tensor, values: Tensor) -> Tensor:
        """Move the means towards the losses: all alike at first, then not at all or by a small share."""
        means, counts = (roster.grown(each.to(values.device), 0.0) for each in (self._means, self._counts))
        seen = counts[rows] + 1
        least = 0.0 if self.normalise == "initial" else _RUNNING_SHARE
        early = (seen <= FIRST_STEPS) if self.normalise == "initial" else (seen <= 1 / _RUNNING_SHARE)
        share = torch.where(early, 1 / seen, least)
        self._means = means.index_add(0, rows, (values - means[rows]) * share)
        self._counts = counts.index_copy(0, rows, seen)
        return self._means


def _given(scales: Mapping[str, float], roster: Roster, like: Tensor, lack: str, advice: str) -> Tensor:
    absent = [task for task in roster.tasks if task not in scales]
    if absent:
        raise ContractError(f"{lack} for the task {absent[0]!r}; {advice}")
    return like.new_tensor([scales[task] for task in roster.tasks])
