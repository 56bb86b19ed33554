"""Equal weighting."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from niwaki.balance.base import Balancer, balancers, stacked, weighted_sum
from niwaki.balance.normalise import LossScale, Normalise
from niwaki.balance.roster import Roster

__all__ = ["Equal"]


@balancers.register("equal")
@balancers.register("EW")
class Equal(Balancer):
    """The plain sum: `sum_t L_t`, or of the losses over their scales.

    Args:
        normalise: What a loss is divided by, as in `MinMax`: ``"none"``, ``"initial"``, ``"reference"``, ``"running"``,
            or task name to scale. `MinMax` on normalised losses is to be compared with this on the same ones.

    Raises:
        SettingError: When it is something else.

    Examples:
        >>> import torch
        >>> Equal()({"depth": torch.tensor(2.0), "normals": torch.tensor(3.0)}).item()
        5.0
        >>> Equal(normalise={"depth": 4.0, "normals": 1.0})({"depth": torch.tensor(2.0)}).item()
        0.5
    """

    kind: ClassVar[str] = "EW"

    def __init__(self, *, normalise: Normalise = "none") -> None:
        super().__init__()
        self._scale = LossScale(self.kind, normalise)
        self._roster = Roster()

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and what the losses are divided by."""
        return {"kind": self.kind, "normalise": self._scale.normalise}

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
        if self._scale.normalise == "none":
            self._used = dict.fromkeys(losses, 1.0)
            return weighted_sum(losses, self._used)
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        weights = (1 / self._scale.watch(self._roster, rows, values))[rows]
        return self._sloped(losses, weights)

    def _state(self) -> dict[str, Any]:
        return {"tasks": list(self._roster.tasks), "scale": self._scale.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._roster = Roster(state["tasks"])
        self._scale.load(state["scale"])
