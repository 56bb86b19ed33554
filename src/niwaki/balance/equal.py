"""Equal weighting."""

from typing import ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import balancers, stacked, weighted_sum
from niwaki.balance.normalise import Normalise
from niwaki.balance.scaled import ScaledBalancer

__all__ = ["Equal"]


@balancers.register("equal")
@balancers.register("EW")
class Equal(ScaledBalancer):
    """The plain sum: `sum_t L_t`, or of the losses over their scales.

    Args:
        normalise: What a loss is divided by, as in `MinMax`: ``"none"``, ``"initial"``, ``"reference"``, ``"running"``,
            or task name to scale. `MinMax` on normalised losses is to be compared with this on the same ones.

    Raises:
        SettingError: When it is something else.

    Examples:
        >>> Equal()({"depth": torch.tensor(2.0), "normals": torch.tensor(3.0)}).item()
        5.0
        >>> Equal(normalise={"depth": 4.0, "normals": 1.0})({"depth": torch.tensor(2.0)}).item()
        0.5
    """

    kind: ClassVar[str] = "EW"

    def __init__(self, *, normalise: Normalise = "none") -> None:
        super().__init__(normalise)

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        if self._scale.normalise == "none":
            self._used = dict.fromkeys(losses, 1.0)
            return weighted_sum(losses, self._used)
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        scales = self._scale.watch(self._roster, rows, values)[rows]
        return self._divided(losses, torch.ones_like(scales), scales)
