"""Any TorchJD scalarizer as a balancer."""

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, balancers, stacked
from niwaki.balance.options import check_scale, not_allowed
from niwaki.balance.randomness import OwnRandomness
from niwaki.balance.torchjd import Members

__all__ = ["Scalarizer"]


@balancers.register("Scalarizer")
class Scalarizer(Balancer):
    """Any scalarizer of TorchJD, on the tasks' losses; its weights are the scalar's slopes along them.

    One with parameters of its own, such as IMTL-L's scales, takes a step of gradient descent on them in the call;
    `update` is called after the optimizer's step and `step` at the end of an epoch, for those that have them. Each set
    of tasks that comes together in a batch has a scalarizer, and a state, of its own.

    Args:
        method: Name of a class in `torchjd.scalarization`, or a scalarizer, which is copied.
        options: Options of the class, by name; one with a value for each task is a dict by task.
        scale: What the scalar is multiplied with: a number, or ``"tasks"`` for the number of the batch's tasks.
        lr: Learning rate of the scalarizer's own parameters, above 0.
        seed: Seed of its draws.

    Raises:
        SettingError: When TorchJD has no such class, or refuses an option.
        MissingExtraError: When TorchJD is not installed.

    Examples:
        >>> balance = Scalarizer("STCH", options={"mu": 0.1}, scale="tasks")
        >>> value = balance({"depth": torch.tensor(0.5), "normals": torch.tensor(2.5)})
        >>> {task: round(weight, 4) for task, weight in balance.weights.items()}
        {'depth': 0.0, 'normals': 1.0}
    """

    kind: ClassVar[str] = "Scalarizer"

    def __init__(
        self,
        method: Any,
        *,
        options: dict[str, Any] | None = None,
        scale: float | str = 1.0,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not lr > 0:
            raise not_allowed(self.kind, "lr", lr, "a number above 0")
        self.scale, self.lr = check_scale(self.kind, scale), lr
        self._randomness = OwnRandomness(seed)
        self._members = Members("scalarization", method, options or {})

    def describe(self) -> dict[str, Any]:
        """Return ``kind``, the class, its options as far as they are plain data, scale, lr and seed."""
        named = {"method": self._members.name, "options": dict(self._members.options), "scale": self.scale}
        return {"kind": self.kind, **named, "lr": self.lr, "seed": self._randomness.seed}

    def reset(self) -> None:
        """Make the scalarizers and the generator anew."""
        self._members.clear()
        self._randomness.reset()

    @property
    def wants_losses_after_step(self) -> bool:
        """Whether the scalarizer has an `update`."""
        return self._members.updates

    def after_step(self, losses: Mapping[str, Tensor]) -> None:
        """Take the losses of the same batch after the optimizer's step."""
        self._members.update(losses)

    def end_epoch(self) -> None:
        """Say that an epoch of training has ended."""
        self._members.end_epoch()

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        tasks = tuple(losses)
        values = stacked(losses)
        factor = len(tasks) if self.scale == "tasks" else float(self.scale)
        with torch.enable_grad(), self._randomness.drawn(values.device):
            value, slopes, learned = self._members.scalarize(tasks, values)
        for parameter, slope in learned.items():
            parameter.data -= self.lr * slope
        return self._sloped(losses, slopes * factor, value * factor)

    def _state(self) -> dict[str, Any]:
        return {"members": self._members.state(), "generator": self._randomness.state()}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._members.load(state["members"])
        self._randomness.load(state["generator"])
