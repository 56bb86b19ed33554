"""Dynamic weight average: tasks whose loss falls slowly count more."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, balancers, weighted_sum
from niwaki.balance.options import not_allowed

__all__ = ["DWA", "descent_weights"]


def descent_weights(ratios: Mapping[str, float], temperature: float) -> dict[str, float]:
    """Equation 7 of Liu, Johns, Davison (arXiv 1803.10704): `w_t = T softmax_t(r_t / temperature)`.

    Args:
        ratios: Task name to its mean loss of the last epoch over that of the epoch before; 1 where there is none.
        temperature: Softness, above 0.

    Returns:
        Task name to weight; the weights sum to the number of tasks.

    Examples:
        >>> weights = descent_weights({"a": 1.0, "b": 1.0 - 2.0 * math.log(3)}, temperature=2.0)
        >>> {task: round(weight, 6) for task, weight in weights.items()}
        {'a': 1.5, 'b': 0.5}
    """
    highest = max(ratios.values())
    heights = {task: math.exp((ratio - highest) / temperature) for task, ratio in ratios.items()}
    total = sum(heights.values())
    return {task: len(heights) * height / total for task, height in heights.items()}


@balancers.register("dynamic_weight_average")
@balancers.register("DWA")
class DWA(Balancer):
    """Dynamic weight average of the MTAN paper (arXiv 1803.10704, section 3.3). Equal for the first two epochs.

    It works on epoch means, so `end_epoch()` must be called. A task without a batch in an epoch keeps its means; a
    task without two means, or whose earlier mean is zero, counts as one that stands still.

    Args:
        temperature: Softness of the weights, above 0; large values approach equal weighting.

    Raises:
        SettingError: When the temperature is not positive.

    Examples:
        >>> balance = DWA()
        >>> for depth, normals in ((4.0, 1.0), (2.0, 1.0)):
        ...     _ = balance({"depth": torch.tensor(depth), "normals": torch.tensor(normals)})
        ...     balance.end_epoch()
        >>> _ = balance({"depth": torch.tensor(1.0), "normals": torch.tensor(1.0)})
        >>> balance.weights["normals"] > 1 > balance.weights["depth"]
        True
    """

    kind: ClassVar[str] = "DWA"

    def __init__(self, *, temperature: float = 2.0) -> None:
        super().__init__()
        if not (0 < temperature < math.inf):
            raise not_allowed("DWA", "temperature", temperature, "a number above 0")
        self.temperature = float(temperature)
        self.reset()

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the temperature."""
        return {"kind": self.kind, "temperature": self.temperature}

    def reset(self) -> None:
        """Forget all loss history: equal weights for two epochs again."""
        self._weights: dict[str, float] = {}
        self._history: dict[str, list[float]] = {}
        self._means: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def end_epoch(self) -> None:
        """Close the epoch: its mean losses set the weights of the next."""
        for task, mean in self._means.items():
            self._history[task] = [*self._history.get(task, []), mean.item()][-2:]
        self._means, self._counts = {}, {}
        if self._history:
            ratios = {task: _ratio(means) for task, means in self._history.items()}
            self._weights = descent_weights(ratios, self.temperature)

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        for task, loss in losses.items():
            self._watch(task, loss.detach())
        self._used = {task: self._weights.get(task, 1.0) for task in losses}
        return weighted_sum(losses, self._used)

    def _watch(self, task: str, loss: Tensor) -> None:
        """Move the running mean, on the loss's own device: nothing waits for it before the epoch ends."""
        count = self._counts.get(task, 0) + 1
        loss = loss.float()
        mean = self._means.get(task, torch.zeros_like(loss)).to(loss.device)
        self._counts[task], self._means[task] = count, mean + (loss - mean) / count

    def _state(self) -> dict[str, Any]:
        return {
            "weights": dict(self._weights),
            "history": {task: list(means) for task, means in self._history.items()},
            "means": {task: mean.clone() for task, mean in self._means.items()},
            "counts": dict(self._counts),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._weights = dict(state["weights"])
        self._history = {task: list(means) for task, means in state["history"].items()}
        self._means = {task: mean.clone() for task, mean in state["means"].items()}
        self._counts = dict(state["counts"])


def _ratio(means: list[float]) -> float:
    return means[1] / means[0] if len(means) == 2 and means[0] != 0 else 1.0
