"""What a filter is worth to its own network."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from niwaki.methods.calibration import Calibration, Gradients

__all__ = ["Importance", "Taylor", "norm_of"]

Importance = Literal["l1", "l2", "taylor"]
"""``|X|_1``, ``|X|_2``, or the squared first-order change of the tasks' losses without the filter."""


def norm_of(filters: Tensor, importance: Importance) -> Tensor:
    """Return the norm of each filter.

    Args:
        filters: X, `[N, d]`.
        importance: ``"l1"`` or ``"l2"``.

    Returns:
        `[N]`.

    Examples:
        >>> norm_of(torch.tensor([[3.0, -4.0]]), "l1"), norm_of(torch.tensor([[3.0, -4.0]]), "l2")
        (tensor([7.]), tensor([5.]))
    """
    return filters.abs().sum(1) if importance == "l1" else filters.norm(dim=1)


class Taylor:
    """Adds up ``(sum of g * w)^2`` over batches and tasks, filter by filter (Molchanov et al. 2019).

    Args:
        parameters: Names of the convolutions' weights.
    """

    def __init__(self, parameters: Sequence[str]) -> None:
        self.parameters = tuple(parameters)
        self.scores: dict[str, Tensor] = {}

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Add one batch."""
        for found in gradients.values():
            for name, gradient in found.items():
                change = (gradient * parameters[name]).flatten(1).sum(1).square().detach().cpu().float()
                self.scores[name] = self.scores[name] + change if name in self.scores else change

    @classmethod
    def of(cls, model: nn.Module, modules: Sequence[str], calibration: Calibration) -> dict[str, Tensor]:
        """Return the worth of each filter of some convolutions, module by module."""
        watcher = cls([f"{module}.weight" for module in modules])
        calibration.show(model, watcher)
        return {
            module: watcher.scores.get(
                f"{module}.weight", torch.zeros(model.get_submodule(module).get_parameter("weight").shape[0])
            )
            for module in modules
        }
