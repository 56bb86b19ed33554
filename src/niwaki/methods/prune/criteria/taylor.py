"""Taylor: what a gate after a channel would change of each task's loss (Molchanov et al. 2019, arXiv 1906.10771)."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.calibration import Gradients
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria, required
from niwaki.methods.prune.evidence import Evidence, over_classes
from niwaki.methods.prune.over_tasks import Reduction, reduce_tasks
from niwaki.methods.prune.sides import Place, read_sides

__all__ = ["Taylor", "TaylorEvidence", "gate_gradients"]

_ALL = "the sum of all tasks"


def gate_gradients(weight: Tensor, gradient: Tensor, dim: int) -> Tensor:
    """Return the gradient of a loss with respect to gates of 1 that multiply the slices of a parameter.

    A gate after a layer multiplies all that makes its channel: by the chain rule its gradient is
    ``sum(weight * gradient)`` over the slice, and the gate need not exist.

    Args:
        weight: A parameter, ``[..., n, ...]``.
        gradient: Of a loss with respect to it, of the same shape.
        dim: The dimension of the slices.

    Returns:
        ``[n]``, in float32 or wider.

    Examples:
        >>> gate_gradients(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([[1.0, 1.0], [0.0, 2.0]]), 0)
        tensor([3., 8.])
    """
    product = weight.detach() * gradient
    wide = product.to(torch.promote_types(product.dtype, torch.float32))
    return wide.movedim(dim, 0).flatten(1).sum(1) if wide.ndim > 1 else wide


class TaylorEvidence(Evidence):
    """``(dL_t / d gate)**2`` of every class: for each task's own loss, and for the sum of the losses.

    Attributes:
        squares: Task to the sum over its batches, ``[classes]``; under another key that of the summed loss.
        seen: The same keys to the number of batches.
        reached: Task to whether its loss reaches the class, ``[classes]``.
    """

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._gates = read_sides(channels).gates
        self._cache: dict[Place, Tensor] = {}
        self.parameters = tuple(dict.fromkeys(name for name, _ in self._gates))
        self.batches = 0
        self.squares: dict[str, Tensor] = {}
        self.seen: dict[str, int] = {}
        self.reached: dict[str, Tensor] = {}

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Add one batch. See `Evidence.see`."""
        total: Tensor | None = None
        for task in sorted(gradients):
            change = self._changes(task, parameters, gradients[task])
            if change is not None:
                self._add(task, change)
                total = change if total is None else total + change
        if total is not None:
            self._add(_ALL, total)
        self.batches += bool(gradients)

    def table(self) -> NDArray[np.float64]:
        """Return each task's mean scores, ``[tasks, classes]``; NaN where a task's loss does not reach a class."""
        rows = []
        for task, reached in self.reached.items():
            row = (self.squares[task] / self.seen[task]).cpu().double().numpy()
            rows.append(np.where(reached.cpu().numpy(), row, np.nan))
        return np.stack(rows) if rows else np.zeros((0, self._channels.count))

    def summed(self) -> Scores:
        """Return the mean scores by the sum of all losses, ``[classes]``."""
        if _ALL not in self.squares:
            return np.zeros(self._channels.count)
        return (self.squares[_ALL] / self.seen[_ALL]).cpu().double().numpy()

    def state_dict(self) -> dict[str, Any]:
        """Return sums and counts."""
        return {
            "batches": self.batches,
            "squares": dict(self.squares),
            "seen": dict(self.seen),
            "reached": dict(self.reached),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over sums and counts."""
        self.batches, self.seen = int(state["batches"]), dict(state["seen"])
        self.squares, self.reached = dict(state["squares"]), dict(state["reached"])

    def _changes(self, task: str, parameters: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> Tensor | None:
        """Return the gates' gradients of one task, summed over the places of each class."""
        found: Tensor | None = None
        for place in self._gates:
            name, dim = place
            if name not in own:
                continue
            slices = gate_gradients(parameters[name], own[name], dim)
            part = over_classes(self._channels, place, slices, cache=self._cache)
            found = part if found is None else found + part
            here = over_classes(self._channels, place, torch.ones_like(slices), cache=self._cache) > 0
            known = self.reached.get(task)
            self.reached[task] = here if known is None else known.to(here.device) | here
        return found

    def _add(self, key: str, change: Tensor) -> None:
        square = change.square()
        known = self.squares.get(key)
        self.squares[key] = square if known is None else known.to(square.device) + square
        self.seen[key] = self.seen.get(key, 0) + 1


@criteria.register("taylor")
class Taylor(Criterion):
    """The squared first-order change of the loss when a channel goes: ``(gate * dL/dgate)**2``, the mean over batches.

    One gate stands for a whole channel class, after every norm and after every layer that no norm follows directly; the
    contributions of its places are summed, then squared. Every task has a score of its own.

    Attributes:
        tasks: How the tasks' scores become one (`reduce_tasks`), or ``"sum"``: the score by the sum of their losses, as
            in the single-task papers.

    Examples:
        >>> Taylor(tasks="max")
        Taylor(kind='taylor', tasks='max')
    """

    kind: Literal["taylor"] = "taylor"
    tasks: Reduction | Literal["sum"] = "sum"

    def gather(self, channels: Channels) -> Evidence:
        """Return evidence that squares gate gradients."""
        return TaylorEvidence(channels)

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:  # noqa: ARG002 - the evidence says it all
        """Return the scores, ``[classes]``, at least 0. See `Criterion.score`.

        Raises:
            ContractError: When no batch was seen.
        """
        gathered = cast("TaylorEvidence", required(evidence, TaylorEvidence, self.kind))
        table = gathered.table()
        return gathered.summed() if self.tasks == "sum" or not len(table) else reduce_tasks(table, self.tasks)
