"""Equal weighting."""

from typing import Any, ClassVar

from torch import Tensor

from niwaki.balance.base import Balancer, balancers, weighted_sum

__all__ = ["Equal"]


@balancers.register("equal")
@balancers.register("EW")
class Equal(Balancer):
    """The plain sum: `sum_t L_t`.

    Examples:
        >>> import torch
        >>> Equal()({"depth": torch.tensor(2.0), "normals": torch.tensor(3.0)}).item()
        5.0
    """

    kind: ClassVar[str] = "EW"

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` alone: there are no options."""
        return {"kind": self.kind}

    def reset(self) -> None:
        """Do nothing: equal weighting learns nothing."""

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        self._used = dict.fromkeys(losses, 1.0)
        return weighted_sum(losses, self._used)
