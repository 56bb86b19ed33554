"""Random loss weighting: new weights for every batch."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, balancers, weighted_sum
from niwaki.balance.randomness import OwnRandomness

__all__ = ["RLW"]


@balancers.register("random")
@balancers.register("RLW")
class RLW(Balancer):
    """Random loss weighting (arXiv 2111.10603, algorithm 1): `w = T softmax(z)`, `z` normal, anew in every call.

    It is a litmus test: a balancer that can't beat it has found nothing.

    Args:
        seed: Seed of its own generator.

    Examples:
        >>> balance = RLW(seed=3)
        >>> _ = balance({"depth": torch.tensor(1.0), "normals": torch.tensor(1.0)})
        >>> round(sum(balance.weights.values()), 5)
        2.0
    """

    kind: ClassVar[str] = "RLW"

    def __init__(self, *, seed: int = 0) -> None:
        super().__init__()
        self._randomness = OwnRandomness(seed)

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the seed."""
        return {"kind": self.kind, "seed": self._randomness.seed}

    def reset(self) -> None:
        """Start the generator anew from its seed."""
        self._randomness.reset()

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        heights = torch.randn(len(losses), generator=self._randomness.generator)
        weights = len(losses) * heights.softmax(0)
        self._used = dict(zip(losses, weights.tolist(), strict=True))
        return weighted_sum(losses, self._used)

    def _state(self) -> dict[str, Any]:
        return {"generator": self._randomness.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._randomness.load(state["generator"])
