"""Watches the figures of every step, and stops the training when one is no number any more."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from niwaki.errors import TrainingError

__all__ = ["TAUGHT", "Guard", "StepFigures", "StepTensors", "blame_gradient", "check_losses"]

TAUGHT = "distill."
"""What stands before a task's name in the figure of its distance to the parent."""


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


@dataclass(frozen=True)
class StepTensors:
    """The figures of one optimizer step where they were computed.

    Attributes:
        step: Its number from 0.
        epoch: Its epoch.
        lr: Learning rate of the first group.
        losses: Task to loss, a scalar.
        extras: Other figures, each a scalar.
        grad_norm: Norm of the whole gradient, a scalar.
    """

    step: int
    epoch: int
    lr: float
    losses: Mapping[str, Tensor]
    extras: Mapping[str, Tensor]
    grad_norm: Tensor

    def stacked(self) -> Tensor:
        """Return losses, extras and norm as one vector, so that one transfer brings them all."""
        home = self.grad_norm.device
        scalars = (*self.losses.values(), *self.extras.values(), self.grad_norm)
        return torch.stack([each.detach().float().to(home) for each in scalars])

    def read(self, values: Sequence[float]) -> StepFigures:
        """Give the numbers of `stacked` their names back."""
        losses = dict(zip(self.losses, values, strict=False))
        extras = dict(zip(self.extras, values[len(losses) :], strict=False))
        return StepFigures(self.step, self.epoch, self.lr, losses, extras, values[-1])


@dataclass
class Guard:
    """Gathers figures on the device and brings them over a few steps at a time.

    Attributes:
        every: Steps between transfers: 1 where they cost nothing (CPU), more where each waits for the device.
    """

    every: int = 1
    _pending: list[tuple[StepTensors, Tensor]] = field(default_factory=list)

    def watch(self, figures: StepTensors) -> list[StepFigures]:
        """Take note of a step before the optimizer acts on it.

        Args:
            figures: Its figures.

        Returns:
            The figures that came over with this call.
        """
        self._pending.append((figures, figures.stacked()))
        return self.bring() if len(self._pending) >= self.every else []

    def bring(self) -> list[StepFigures]:
        """Bring all figures over from the device.

        Returns:
            The figures of every step since the last transfer.
        """
        found = [figures.read(values.tolist()) for figures, values in self._pending]
        self._pending.clear()
        return found


def check_losses(figures: StepFigures) -> None:
    """Refuse a loss, or a distance to the parent's answers, that is NaN or infinite.

    Args:
        figures: The figures of a step.

    Raises:
        TrainingError: With the task, the value and the step.

    Examples:
        >>> check_losses(StepFigures(7, 0, 0.1, {"depth": math.nan}, {}, 1.0))
        Traceback (most recent call last):
        niwaki.errors.TrainingError: step 7 (epoch 0, lr 0.1): the loss of depth is nan; ...
    """
    where = f"step {figures.step} (epoch {figures.epoch}, lr {figures.lr:g})"
    bad = _not_finite(figures.losses)
    if bad:
        raise TrainingError(
            f"{where}: the loss of {bad}; lower `lr`, add "
            "`warmup` or `clip_norm`, and look for NaN in inputs and targets (`niwaki check-data`)"
        )
    taught = {name.removeprefix(TAUGHT): each for name, each in figures.extras.items() if name.startswith(TAUGHT)}
    bad = _not_finite(taught)
    if bad:
        raise TrainingError(
            f"{where}: the distance to the parent's answers for {bad}; the parent answers NaN or infinities: look at "
            "the weights of the `teacher` (by default the model as it was given), or leave the task out of `distill`"
        )


def _not_finite(values: Mapping[str, float]) -> str:
    return ", ".join(f"{task} is {value}" for task, value in values.items() if not math.isfinite(value))


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
