"""Smooth Tchebycheff: the largest loss, made smooth."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from niwaki.balance.base import Balancer, balancers, stacked
from niwaki.balance.normalise import LossScale, Normalise
from niwaki.balance.options import not_allowed
from niwaki.balance.roster import Roster

__all__ = ["STCH"]


@balancers.register("smooth_tchebycheff")
@balancers.register("STCH")
class STCH(Balancer):
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
        super().__init__()
        if not 0 < mu < math.inf:
            raise not_allowed(self.kind, "mu", mu, "a number above 0")
        self.mu = float(mu)
        self._scale = LossScale(self.kind, normalise)
        self._roster = Roster()

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {"kind": self.kind, "mu": self.mu, "normalise": self._scale.normalise}

    def reset(self) -> None:
        """Forget the scales that were learned."""
        self._roster = Roster()
        self._scale.reset()

    def refer(self, losses: Mapping[str, float]) -> None:
        """Set what ``normalise="reference"`` divides by.

        Args:
            losses: Task name to the loss of a reference, such as the dense or the single-task model.
        """
        self._scale.refer(losses)

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        scales = self._scale.watch(self._roster, rows, values)[rows]
        heights = values / scales / self.mu
        weights = len(losses) * heights.softmax(0) / scales
        return self._sloped(losses, weights, len(losses) * self.mu * heights.logsumexp(0))

    def _state(self) -> dict[str, Any]:
        return {"tasks": list(self._roster.tasks), "scale": self._scale.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._roster = Roster(state["tasks"])
        self._scale.load(state["scale"])
