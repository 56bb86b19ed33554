"""Uncertainty weighting: each task learns its own noise, and noisy tasks count less."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from niwaki.balance.base import Balancer, balancers
from niwaki.balance.options import not_allowed

__all__ = ["Uncertainty", "adam_step", "uncertainty_loss"]


def uncertainty_loss(loss: Tensor, log_variance: Tensor) -> Tensor:
    """Return `L / (2 exp(s)) + s / 2`, one task's term of Kendall, Gal, Cipolla (arXiv 1705.07115).

    Args:
        loss: The task's loss, one number.
        log_variance: The task's log-variance `s`, one number.

    Returns:
        One number; it may be negative. For a fixed loss it is lowest at `s = log L`.

    Examples:
        >>> uncertainty_loss(torch.tensor(1.0), torch.tensor(0.0)).item()
        0.5
    """
    return loss * torch.exp(-log_variance) / 2 + log_variance / 2


def adam_step(state: Tensor, gradient: Tensor, step: int | Tensor, lr: float) -> Tensor:
    """Return a number, or several, with the Adam moments after a step (Kingma, Ba, arXiv 1412.6980, algorithm 1).

    It is written out so that a log-variance's whole state is one small tensor, on whatever device its loss is.

    Args:
        state: The number, its first and its second moment, `[3]`; of several `[3, n]`.
        gradient: The number's gradient.
        step: Steps including this one, from 1; of several `[n]`.
        lr: Learning rate.

    Returns:
        The new state, of the same shape.

    Examples:
        >>> adam_step(torch.zeros(3), torch.tensor(5.0), step=1, lr=0.5)[0].item()
        -0.5
    """
    value, first, second = state.unbind()
    first = 0.9 * first + 0.1 * gradient
    second = 0.999 * second + 0.001 * gradient**2
    spread = (second / _one_less(0.999, step)).sqrt() + 1e-8
    return torch.stack((value - lr * first / _one_less(0.9, step) / spread, first, second))


def _one_less(decay: float, step: int | Tensor) -> float | Tensor:
    """Return `1 - decay^step`, exactly also where that is small."""
    return -torch.expm1(step * math.log(decay)) if isinstance(step, Tensor) else 1 - decay**step


@balancers.register("uncertainty")
@balancers.register("UW")
class Uncertainty(Balancer):
    """Uncertainty weighting (arXiv 1705.07115) with one log-variance for each task, trained by an Adam of its own.

    The log-variances step inside the call, along their exact gradient at the loss just seen, so nothing has to be
    added to the model's optimizer, and accumulation or gradient scaling can't disturb them. A task absent from a
    batch keeps its log-variance. The scale is learned: the weights don't sum to the number of tasks.

    Args:
        lr: Learning rate of the log-variances, above 0.
        initial: Log-variance every task starts with.

    Raises:
        SettingError: When `lr` is not positive or `initial` not finite.

    Examples:
        >>> balance = Uncertainty(initial=0.0)
        >>> balance({"depth": torch.tensor(3.0)}).item(), balance.weights
        (1.5, {'depth': 0.5})
    """

    kind: ClassVar[str] = "UW"

    def __init__(self, *, lr: float = 1e-3, initial: float = -0.5) -> None:
        super().__init__()
        if not (0 < lr < math.inf):
            raise not_allowed("Uncertainty", "lr", lr, "a number above 0")
        if not math.isfinite(initial):
            raise not_allowed("Uncertainty", "initial", initial, "a finite number")
        self.lr, self.initial = float(lr), float(initial)
        self.reset()

    def describe(self) -> dict[str, Any]:
        """Return ``kind``, the learning rate and the initial log-variance."""
        return {"kind": self.kind, "lr": self.lr, "initial": self.initial}

    def reset(self) -> None:
        """Start all log-variances and their moments anew."""
        self._learned: dict[str, Tensor] = {}
        self._steps: dict[str, int] = {}

    @property
    def log_variances(self) -> dict[str, float]:
        """Task name to its log-variance now."""
        return {task: state[0].item() for task, state in self._learned.items()}

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        terms = {task: self._term(task, loss) for task, loss in losses.items()}
        return torch.stack(list(terms.values())).sum()

    def _term(self, task: str, loss: Tensor) -> Tensor:
        seen = loss.detach().float()
        state = self._learned.get(task, seen.new_tensor([self.initial, 0.0, 0.0])).to(seen.device)
        log_variance = state[0]
        precision = torch.exp(-log_variance)
        self._used[task] = precision / 2
        self._steps[task] = self._steps.get(task, 0) + 1
        self._learned[task] = adam_step(state, (1 - seen * precision) / 2, self._steps[task], self.lr)
        return uncertainty_loss(loss, log_variance)

    def _state(self) -> dict[str, Any]:
        return {
            "learned": {task: state.clone() for task, state in self._learned.items()},
            "steps": dict(self._steps),
        }

    def _load(self, state: Mapping[str, Any]) -> None:
        self._learned = {task: learned.clone() for task, learned in state["learned"].items()}
        self._steps = dict(state["steps"])
