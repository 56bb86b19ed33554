"""FAMO: all losses fall at one rate, seen from the losses alone."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from niwaki.balance.base import Balancer, balancers, stacked
from niwaki.balance.logits import Logits
from niwaki.balance.options import not_allowed

__all__ = ["FAMO", "famo_weights", "progress_gradient"]

_EPSILON = 1e-8


def famo_weights(logits: Tensor, losses: Tensor) -> Tensor:
    """Return the slopes of `c sum_t z_t log L_t` with `z = softmax(s)` and `c = 1 / sum_t (z_t / L_t)`; they sum to 1.

    Args:
        logits: `s`, `[T]`.
        losses: `L`, `[T]`, above 0.

    Returns:
        `[T]`.

    Examples:
        >>> import torch
        >>> famo_weights(torch.zeros(2), torch.tensor([1.0, 3.0])).tolist()
        [0.75, 0.25]
    """
    shares = logits.softmax(0) / losses
    return shares / shares.sum()


def progress_gradient(logits: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """Return what the logits step down: `J_softmax(s)^T (log L_before - log L_after)`, lines 6 and 7 of algorithm 1.

    Args:
        logits: `s`, `[T]`.
        before: The losses before the step, `[T]`, above 0.
        after: Those after it, `[T]`, above 0.

    Returns:
        `[T]`.

    Examples:
        >>> import torch
        >>> grad = progress_gradient(torch.zeros(2), torch.tensor([1.0, 1.0]), torch.tensor([1.0, 0.5]))
        >>> [round(each, 4) for each in grad.tolist()]
        [-0.1733, 0.1733]
    """
    shares, gained = logits.softmax(0), before.log() - after.log()
    return shares * (gained - (shares * gained).sum())


@balancers.register("FAMO")
class FAMO(Balancer):
    """Fast adaptive multitask optimisation (arXiv 2306.03792, algorithm 1): the slowest task counts more.

    It needs no task's own gradient, but the losses once more after the step: call `after_step` with the losses of the
    same batch. Losses must be above 0; the weights sum to the number of the batch's tasks.

    Args:
        lr: Learning rate of the logits, above 0.
        weight_decay: Pull of the logits towards equal weights, at least 0.

    Raises:
        SettingError: When an option is outside.

    Examples:
        >>> import torch
        >>> balance = FAMO(lr=0.5)
        >>> _ = balance({"depth": torch.tensor(1.0), "normals": torch.tensor(1.0)})
        >>> balance.after_step({"depth": torch.tensor(1.0), "normals": torch.tensor(0.5)})
        >>> _ = balance({"depth": torch.tensor(1.0), "normals": torch.tensor(1.0)})
        >>> balance.weights["depth"] > balance.weights["normals"]
        True
    """

    kind: ClassVar[str] = "FAMO"

    def __init__(self, *, lr: float = 0.025, weight_decay: float = 1e-3) -> None:
        super().__init__()
        if not 0 < lr < math.inf:
            raise not_allowed(self.kind, "lr", lr, "a number above 0")
        if not 0 <= weight_decay < math.inf:
            raise not_allowed(self.kind, "weight_decay", weight_decay, "a number of at least 0")
        self.lr, self.weight_decay = float(lr), float(weight_decay)
        self._logits = Logits(lr=self.lr, weight_decay=self.weight_decay)
        self._before: dict[str, Tensor] = {}

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        return {"kind": self.kind, "lr": self.lr, "weight_decay": self.weight_decay}

    def reset(self) -> None:
        """Start anew with equal logits."""
        self._logits.reset()
        self._before = {}

    def after_step(self, losses: Mapping[str, Tensor]) -> None:
        """Take the losses of the last call's batch after the optimizer's step; the logits move.

        Args:
            losses: Task name to its loss. A task without one in the last call is left out.
        """
        tasks = [task for task in losses if task in self._before]
        if tasks:
            before, after = (
                stacked({task: each[task] for task in tasks}) + _EPSILON for each in (self._before, losses)
            )
            logits = self._logits.of(tasks, before.device)
            self._logits.step(tasks, progress_gradient(logits, before, after.to(before)))
        self._before = {}

    def _combine(self, losses: dict[str, Tensor]) -> Tensor:
        self._before = {task: loss.detach() for task, loss in losses.items()}
        values = stacked(losses) + _EPSILON
        weights = len(losses) * famo_weights(self._logits.of(losses, values.device), values)
        return self._sloped(losses, weights, (weights * values).sum())

    def _state(self) -> dict[str, Any]:
        before = {task: loss.clone() for task, loss in self._before.items()}
        return {"logits": self._logits.state(), "before": before}

    def _load(self, state: Mapping[str, Any]) -> None:
        self._logits.load(state["logits"])
        self._before = {task: loss.clone() for task, loss in state["before"].items()}
