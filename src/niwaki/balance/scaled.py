"""What the balancers share that weigh losses over their scales: the tasks they have met, and each one's scale."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from niwaki.balance.base import Balancer
from niwaki.balance.normalise import LossScale, Normalise
from niwaki.balance.roster import Roster

__all__ = ["ScaledBalancer"]


class ScaledBalancer(Balancer):
    """A balancer of losses that are divided by a scale of their task.

    Args:
        normalise: What a loss is divided by, as in `MinMax`.

    Raises:
        SettingError: When it is something else.
    """

    def __init__(self, normalise: Normalise) -> None:
        super().__init__()
        self._scale = LossScale(self.kind, normalise)
        self._roster = Roster()
        self._shares: dict[str, Tensor] = {}

    @property
    def emphasis(self) -> dict[str, float]:
        """The factor of each loss over its scale in the last call: 1 is an equal share."""
        return {task: float(self._shares.get(task, weight)) for task, weight in self._used.items()}

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {"kind": self.kind, "normalise": self._scale.normalise}

    def reset(self) -> None:
        """Start anew: no losses seen, no reference."""
        self._roster = Roster()
        self._scale.reset()

    def refer(self, losses: Mapping[str, float]) -> None:
        """Set what ``normalise="reference"`` divides by.

        Args:
            losses: Task name to the loss of a reference, such as the dense or the single-task model.
        """
        self._scale.refer(losses)

    def _divided(
        self, losses: Mapping[str, Tensor], shares: Tensor, scales: Tensor, value: Tensor | None = None
    ) -> Tensor:
        """Return the scalar with slopes `shares / scales`, both `[tasks]`. See `Balancer._sloped`."""
        self._shares = dict(zip(losses, shares.unbind(), strict=True))
        return self._sloped(losses, shares / scales, value)

    def _state(self) -> dict[str, Any]:
        return {"tasks": list(self._roster.tasks), "scale": self._scale.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._roster = Roster(state["tasks"])
        self._scale.load(state["scale"])
