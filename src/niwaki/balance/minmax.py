"""Min-max weights: the tasks that do worst count more, by gradient ascent on the probability simplex."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from niwaki.balance.base import balancers, stacked
from niwaki.balance.normalise import Normalise
from niwaki.balance.options import not_allowed
from niwaki.balance.scaled import ScaledBalancer
from niwaki.balance.simplex import project_simplex

__all__ = ["MinMax", "ascend"]

Cadence = Literal["ema", "step", "epoch"]


def ascend(weights: Tensor, losses: Tensor, *, gamma: float, beta: float) -> Tensor:
    """Return the weights after a step of ascent: `Proj(w + (F - gamma (w - 1/K)) / beta)` (Guo et al. 2025).

    For losses that stay as they are it converges to `Proj(1/K + F / gamma)` where `beta > gamma / 2`, and without
    oscillating where `beta >= gamma`.

    Args:
        weights: `w`, `[K]`, on the simplex.
        losses: `F`, `[K]`.
        gamma: Strength of the pull towards equal weights, at least 0.
        beta: Inverse step, above `gamma / 2`.

    Returns:
        `[K]`, on the simplex.

    Examples:
        >>> losses, weights = torch.tensor([1.2, 0.5, 0.2]), torch.full((3,), 1 / 3)
        >>> for _ in range(100):
        ...     weights = ascend(weights, losses, gamma=5.0, beta=10.0)
        >>> [round(each, 4) for each in weights.tolist()]
        [0.4467, 0.3067, 0.2467]
    """
    return project_simplex(weights + (losses - gamma * (weights - 1 / len(weights))) / beta)


@balancers.register("min_max")
@balancers.register("MinMax")
class MinMax(ScaledBalancer):
    """Min-max weighting: training protects the task that does worst (Guo et al., Neurocomputing 650:130865, 2025).

    The weights `w` maximise `sum_t w_t F_t - gamma/2 |w - 1/K|^2` over the simplex while the model minimises
    `K sum_t w_t F_t`; `F_t` is the task's loss over its scale. With equal weights that is the plain sum of the
    normalised losses. The scalar is taken at the weights so far; then they ascend. A task that is absent from a batch
    keeps its last `F`, and the weights are not renormalised. A task that is seen for the first time enters at `1/K`.

    Args:
        gamma: Strength of the pull towards equal weights, at least 0: a large one is equal weighting, 0 puts all on the
            worst task. What is right depends on the number of tasks: inside the simplex `K w_t - 1` is
            `K (F_t - mean F) / gamma`.
        beta: Inverse step of the ascent, above `gamma / 2`.
        normalise: What a loss is divided by: ``"initial"``, the mean of the first steps in which the task was seen;
            ``"reference"``, the loss that `refer` was told; ``"running"``, a moving mean of its own; ``"none"``; or
            task name to scale.
        cadence: When the weights ascend: ``"ema"``, in every call on a moving average of the losses; ``"step"``, in
            every call on the losses as they are; ``"epoch"``, once in each epoch on its first batch, as in the paper.
        decay: Of the moving average, in [0, 1); it begins at the first loss.

    Raises:
        SettingError: When an option is outside; with `beta <= gamma / 2` the ascent would oscillate for ever.

    Examples:
        >>> balance = MinMax(normalise="none")
        >>> for _ in range(300):
        ...     _ = balance({"depth": torch.tensor(1.2), "normals": torch.tensor(0.5), "parts": torch.tensor(0.2)})
        >>> {task: round(weight, 4) for task, weight in balance.simplex.items()}
        {'depth': 0.4467, 'normals': 0.3067, 'parts': 0.2467}
    """

    kind: ClassVar[str] = "MinMax"

    def __init__(
        self,
        *,
        gamma: float = 5.0,
        beta: float = 50.0,
        normalise: Normalise = "initial",
        cadence: Cadence = "ema",
        decay: float = 0.9,
    ) -> None:
        super().__init__(normalise)
        if not 0 <= gamma < math.inf:
            raise not_allowed(self.kind, "gamma", gamma, "a number of at least 0")
        if not gamma / 2 < beta < math.inf:
            raise not_allowed(self.kind, "beta", beta, f"above gamma / 2 = {gamma / 2:g}, or the weights oscillate")
        if cadence not in {"ema", "step", "epoch"}:
            raise not_allowed(self.kind, "cadence", cadence, "ema, step or epoch")
        if not 0 <= decay < 1:
            raise not_allowed(self.kind, "decay", decay, "in [0, 1)")
        self.gamma, self.beta, self.cadence, self.decay = float(gamma), float(beta), cadence, float(decay)
        self._forget()

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        options = {"gamma": self.gamma, "beta": self.beta, "cadence": self.cadence, "decay": self.decay}
        return {**super().describe(), **options}

    def reset(self) -> None:
        """Start anew: equal weights, no losses seen, no reference."""
        super().reset()
        self._forget()

    def _forget(self) -> None:
        self._simplex = torch.zeros(0)
        self._seen = torch.zeros(0)
        self._due = True

    @property
    def simplex(self) -> dict[str, float]:
        """Task name to its `w` now; they sum to 1. `weights` holds the factors of the last call, `K w / scale`."""
        return dict(zip(self._roster.tasks, self._simplex.tolist(), strict=True))

    def end_epoch(self) -> None:
        """Say that an epoch has ended: the next batch is the first of another."""
        self._due = True

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        values = stacked(losses)
        rows = self._roster.rows(losses, values.device)
        self._admit(rows, values)
        scales = self._scale.watch(self._roster, rows, values)
        shares = (len(self._roster) * self._simplex)[rows]
        if self._due or self.cadence != "epoch":
            self._simplex = ascend(self._simplex, self._seen / scales, gamma=self.gamma, beta=self.beta)
        self._due = False
        return self._divided(losses, shares, scales[rows])

    def _admit(self, rows: Tensor, values: Tensor) -> None:
        """Take in the losses; a new task starts with its first one, and at `1/K`."""
        before, count = len(self._simplex), len(self._roster)
        if count > before:
            shrunk = self._simplex.to(values.device) * (before / count)
            self._simplex = self._roster.grown(shrunk, 1 / count)
        self._simplex = self._simplex.to(values.device)
        seen = self._roster.grown(self._seen.to(values.device), math.nan)
        last = seen[rows]
        share = 1 - self.decay if self.cadence == "ema" else 1.0
        moved = torch.where(last.isnan(), values, last + (values - last) * share)
        self._seen = seen.index_copy(0, rows, moved)

    def _state(self) -> dict[str, Any]:
        learned = {"simplex": self._simplex.clone(), "seen": self._seen.clone(), "due": self._due}
        return {**super()._state(), **learned}

    def _load(self, state: Mapping[str, Any]) -> None:
        super()._load(state)
        self._simplex, self._seen = state["simplex"].clone(), state["seen"].clone()
        self._due = bool(state["due"])
