"""Any TorchJD aggregator as a balancer."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from niwaki.balance.base import balancers
from niwaki.balance.gradient import DirectionBalancer, nearest_weights
from niwaki.balance.options import check_scale
from niwaki.balance.randomness import OwnRandomness
from niwaki.balance.torchjd import Members

__all__ = ["Aggregator"]


@balancers.register("Aggregator")
class Aggregator(DirectionBalancer):
    """Any aggregator of TorchJD, on the gradients of the tasks on their shared parameters.

    Each set of tasks that comes together in a batch has an aggregator, and a state, of its own. Random draws come from
    the balancer's own generator.

    Args:
        method: Name of a class in `torchjd.aggregation`, or an aggregator, which is copied.
        options: Options of the class, by name; one with a value for each task is a dict by task.
        scale: What the aggregate is multiplied with: a number, or ``"tasks"`` for the number of its tasks, which turns
            a mean into a sum.
        seed: Seed of its draws.

    Raises:
        SettingError: When TorchJD has no such class, or refuses an option.
        MissingExtraError: When TorchJD, or the solver it needs, is not installed.

    Examples:
        >>> import torch
        >>> trunk = torch.tensor([1.0, 1.0], requires_grad=True)
        >>> balance = Aggregator("TrimmedMean", options={"trim_number": 1})
        >>> balance({"a": trunk[0] * 5, "b": trunk[0] * 2 + trunk[1], "c": trunk[0]}).backward()
        >>> trunk.grad.tolist()
        [2.0, 0.0]
    """

    kind: ClassVar[str] = "Aggregator"

    def __init__(
        self, method: Any, *, options: dict[str, Any] | None = None, scale: float | str = 1.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.scale = check_scale(self.kind, scale)
        self._randomness = OwnRandomness(seed)
        self._members = Members("aggregation", method, options or {})

    def describe(self) -> dict[str, Any]:
        """Return ``kind``, the class, its options as far as they are plain data, scale and seed."""
        named = {"method": self._members.name, "options": dict(self._members.options), "scale": self.scale}
        return {"kind": self.kind, **named, "seed": self._randomness.seed}

    def reset(self) -> None:
        """Make the aggregators and the generator anew."""
        self._members.clear()
        self._randomness.reset()

    def _aggregate(self, matrix: Tensor, losses: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        with self._randomness.drawn(matrix.device):
            vector, weights = self._members.aggregate(tuple(losses), matrix)
        if weights is None:
            weights = nearest_weights(matrix, vector)
        factor = len(losses) if self.scale == "tasks" else float(self.scale)
        return vector * factor, weights * factor

    def _state(self) -> dict[str, Any]:
        return {"members": self._members.state(), "generator": self._randomness.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._members.load(state["members"])
        self._randomness.load(state["generator"])
