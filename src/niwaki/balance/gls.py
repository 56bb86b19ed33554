"""Geometric loss strategy: the product of the losses, not their sum."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, balancers, stacked

__all__ = ["GLS", "geometric_weights"]


def geometric_weights(losses: Tensor) -> Tensor:
    """Return the slopes of `T (prod_t L_t)^(1/T)` along the losses: their geometric mean over each loss.

    Args:
        losses: `[T]`. A zero has no slope and is left out of the mean; a negative one makes all slopes NaN.

    Returns:
        `[T]`.

    Examples:
        >>> [round(each, 4) for each in geometric_weights(torch.tensor([1.0, 4.0, 0.0])).tolist()]
        [2.0, 0.5, 0.0]
    """
    there = losses != 0
    heights = torch.where(there, losses, 1.0).log()
    mean = heights.sum() / there.sum().clamp(min=1)
    return torch.where(there, (mean - heights).exp(), 0.0)


@balancers.register("geometric")
@balancers.register("GLS")
class GLS(Balancer):
    """The geometric mean of the losses, times their number (Chennupati et al., arXiv 1904.08492, equation 3).

    Units don't matter: a loss in millimetres trains as one in metres. Losses must not be negative.

    Examples:
        >>> balance = GLS()
        >>> balance({"depth": torch.tensor(1.0), "normals": torch.tensor(4.0)}).item()
        4.0
        >>> {task: round(weight, 4) for task, weight in balance.weights.items()}
        {'depth': 2.0, 'normals': 0.5}
    """

    kind: ClassVar[str] = "GLS"

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` alone: there are no options."""
        return {"kind": self.kind}

    def reset(self) -> None:
        """Do nothing: it learns nothing."""

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        values = stacked(losses)
        weights = geometric_weights(values)
        return self._sloped(losses, weights, (weights * values).sum())
