"""Watches the figures of every step, and stops the training when one is no number any more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.errors import TrainingError

__all__ = ["Guard", "StepFigures", "blame_gradient"]


@dataclass(frozen=True)
class StepFigures:
    """The figures of one optimizer step.

    Attributes:
        step: Its number from 0.
        epoch: Its epoch.
        lr: Learning rate of the first group.
        losses: Task to loss, unweighted, before distillation; the mean over accumulated batches.
        extras: Other figures, such as ``distill.depth`` and ``weight.depth``.
        grad_norm: Norm of the whole gradient, before clipping.
    """

    step: int
    epoch: int
    lr: float
    losses: Mapping[str, float]
    extras: Mapping[str, float]
    grad_norm: float


@dataclass
class _Pending:
    step: int
    epoch: int
    lr: float
    names: tuple[str, ...]
    extras: tuple[str, ...]
    values: Tensor


@dataclass
class Guard:
    """Gathers figures on the device and brings them over a few steps at a time.

    Attributes:
        every: Steps between transfers: 1 where they cost nothing (CPU), more where each waits for the device.
    """

    every: int = 1
    _pending: list[_Pending] = field(default_factory=list)

    def watch(self, step: int, epoch: int, lr: float, losses: Mapping[str, Tensor], **others: Any) -> list[StepFigures]:
        """Take note of a step before the optimizer acts on it.

        Args:
            step: Its number.
            epoch: Its epoch.
            lr: Its learning rate.
            losses: Task to loss.
            **others: ``extras`` (name to scalar tensor) and ``grad_norm`` (scalar tensor).

        Returns:
            The figures that came over with this call.

        Raises:
            FloatingPointError: Inside `check`, see there.
        """
        extras: Mapping[str, Tensor] = others["extras"]
        norm: Tensor = others["grad_norm"]
        scalars = [each.detach().float().to(norm.device) for each in (*losses.values(), *extras.values(), norm)]
        self._pending.append(_Pending(step, epoch, lr, tuple(losses), tuple(extras), torch.stack(scalars)))
        return self.bring() if len(self._pending) >= self.every else []

    def bring(self) -> list[StepFigures]:
        """Bring all figures over from the device.

        Returns:
            The figures of every step since the last transfer.
        """
        found = [_read(each) for each in self._pending]
        self._pending.clear()
        return found


def check_losses(figures: StepFigures) -> None:
    """Refuse a loss that is NaN or infinite.

    Args:
        figures: The figures of a step.

    Raises:
        TrainingError: With the task, the value and the step.

    Example:
        >>> check_losses(StepFigures(7, 0, 0.1, {"depth": math.nan}, {}, 1.0))
        Traceback (most recent call last):
        niwaki.errors.TrainingError: step 7 (epoch 0, lr 0.1): the loss of depth is nan; ...
    """
    bad = {task: value for task, value in figures.losses.items() if not math.isfinite(value)}
    if bad:
        which = ", ".join(f"{task} is {value}" for task, value in bad.items())
        raise TrainingError(
            f"step {figures.step} (epoch {figures.epoch}, lr {figures.lr:g}): the loss of {which}; lower `lr`, add "
            "`warmup` or `clip_norm`, and look for NaN in inputs and targets (`niwaki check-data`)"
        )


def blame_gradient(model: nn.Module, losses: Mapping[str, Tensor]) -> str:
    """Say which task's gradient is NaN or infinite, and where it shows first.

    Args:
        model: The model.
        losses: Task to loss, with its graph.

    Returns:
        Such as ``"depth (at decoder.weight)"``, or an empty text when each task's own gradient is finite.
    """
    named = [(name, each) for name, each in model.named_parameters() if each.requires_grad]
    found: list[str] = []
    for task, loss in losses.items():
        if not loss.requires_grad:
            continue
        grads: Sequence[Tensor | None] = torch.autograd.grad(
            loss, [each for _, each in named], retain_graph=True, allow_unused=True
        )
        pairs = zip(named, grads, strict=True)
        bad = [name for (name, _), grad in pairs if grad is not None and not grad.isfinite().all()]
        if bad:
            found.append(f"{task} (at {bad[-1]})")
    return ", ".join(found)


def _read(pending: _Pending) -> StepFigures:
    values = pending.values.tolist()
    losses = dict(zip(pending.names, values, strict=False))
    extras = dict(zip(pending.extras, values[len(losses) :], strict=False))
    return StepFigures(pending.step, pending.epoch, pending.lr, losses, extras, values[-1])
