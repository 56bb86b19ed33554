"""Smooth Tchebycheff: the largest loss, made smooth."""

import math
from typing import Any, ClassVar

from torch import Tensor

from niwaki.balance.base import balancers, stacked
from niwaki.balance.normalise import Normalise
from niwaki.balance.options import not_allowed
from niwaki.balance.scaled import ScaledBalancer

__all__ = ["STCH"]


@balancers.register("smooth_tchebycheff")
@balancers.register("STCH")
class STCH(ScaledBalancer):
    """The smooth maximum `T mu log sum_t exp(F_t / mu)` of the losses over their scales (arXiv 2402.19078, equation 5).

    Its weights are `T softmax(F / mu)`, those of `MinMax` with an entropy for its square and without memory.

    Args:
        mu: Softness, above 0: a small one leaves the worst task alone, a large one is equal weighting.
        normalise: What a loss is divided by, as in `MinMax`.

    Raises:
        SettingError: When an option is outside.

    Examples:
        >>> import torch
        >>> balance = STCH(mu=0.1, normalise="none")
        >>> _ = balance({"depth": torch.tensor(0.5), "normals": torch.tensor(2.5)})
        >>> {task: round(weight, 4) for task, weight in balance.weights.items()}
        {'depth': 0.0, 'normals': 2.0}
    """

    kind: ClassVar[str] = "STCH"

    def __init__(self, *, mu: float = 0.5, normalise: Normalise = "initial") -> None:
        super().__init__(normalise)
        if not 0 < mu < math.inf:
            raise not_allowed(self.kind, "mu", mu, "a number above 0")
        self.mu = float(mu)

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {**super().describe(), "mu": self.mu}

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        scales = self._scale.watch(self._roster, rows, values)[rows]
        heights = values / scales / self.mu
        value = len(losses) * self.mu * heights.logsumexp(0)
        return self._divided(losses, len(losses) * heights.softmax(0), scales, value)
