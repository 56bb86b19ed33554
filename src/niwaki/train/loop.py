"""One optimizer step: the contract with methods and balancers, written as code."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from niwaki.balance import Balancer, GradientBalancer
from niwaki.contract import Batch, answers, read_batch
from niwaki.errors import TrainingError
from niwaki.tasks import Task, task_losses
from niwaki.train.batch import relocate
from niwaki.train.distill import Teacher
from niwaki.train.guard import TAUGHT, Guard, StepFigures, StepTensors, blame_gradient, check_losses
from niwaki.train.labels import SeenLabels
from niwaki.train.schedule import lr_factor, set_lr
from niwaki.train.settings import Training
from niwaki.train.trainee import Trainee

__all__ = ["Loop"]


@dataclass
class Loop:
    """Takes optimizer steps; knows methods, balancers and tasks only by their protocols.

    Attributes:
        trainee: Model, run, optimizer.
        tasks: The tasks.
        balance: Makes one scalar of the losses.
        teacher: The dense parent, or None.
        training: Settings.
        total: Steps of the whole training, for the learning rate.
        step: Steps taken.
        epoch: Epoch of the current step, for messages.
        changed: Whether the last step changed the model's shape.
        seen: The labels of the batches since it was made anew.
    """

    trainee: Trainee
    tasks: Sequence[Task]
    balance: Balancer
    teacher: Teacher | None
    training: Training
    total: int
    step: int = 0
    epoch: int = 0
    changed: bool = False
    guard: Guard = field(default_factory=Guard)
    seen: SeenLabels = field(default_factory=SeenLabels)

    def take(self, raw: Sequence[Any]) -> list[StepFigures]:
        """Take one step on the mean gradient of some batches.

        Args:
            raw: One batch, or several to accumulate.

        Returns:
            The figures that came over from the device: of this step on a CPU, of some steps at once elsewhere.

        Raises:
            TrainingError: When a loss or a gradient is NaN or infinite.
        """
        trainee, optimizer = self.trainee, self.trainee.optimizer
        begun = trainee.run.begun or 0
        set_lr(optimizer, lr_factor(self.step - begun, self.total - begun, self.training))
        batches = [self._read(each) for each in raw]
        self._mask_balancer()
        losses, extras = self._accumulate(batches)
        trainee.run.after_backward(trainee.model)
        norm = self._clip()
        lr = optimizer.param_groups[0]["lr"]
        figures = self._checked(self.guard.watch(StepTensors(self.step, self.epoch, lr, losses, extras, norm)), batches)
        optimizer.step()
        self._tell_balancer(batches[-1])
        self.changed = trainee.adopt(trainee.run.after_step(trainee.model, optimizer))
        if trainee.average is not None:
            trainee.average.update(trainee.model, trainee.run.masks)
        self.step += 1
        return figures

    def drain(self) -> list[StepFigures]:
        """Bring over and check the figures that still lie on the device."""
        return self._checked(self.guard.bring(), [])

    def losses(self, batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Return each task's own loss, and each task's weighted distance to the teacher."""
        found = answers(self.trainee.forward, batch)
        own = task_losses(self.tasks, found, batch.targets)
        if self.teacher is None:
            return own, {}
        with torch.no_grad():
            taught = answers(self.teacher.forward, batch)
        return own, self.teacher.distances(found, taught, batch.targets)

    def _read(self, raw: Any) -> Batch:
        engine, names = self.trainee.engine, [task.name for task in self.tasks]
        return relocate(read_batch(raw, names, self.trainee.model), engine.move, channels_last=engine.channels_last)

    def _accumulate(self, batches: Sequence[Batch]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        trainee = self.trainee
        sums: dict[str, list[Tensor]] = {}
        others: dict[str, list[Tensor]] = {}
        for number, batch in enumerate(batches):
            losses = self._noted(batch, sums, others)
            trainee.run.before_backward(trainee.model, losses)
            if number == 0:
                trainee.optimizer.zero_grad(set_to_none=True)
            total = self.balance(losses) + trainee.run.penalty(trainee.model)
            trainee.engine.backward(total / len(batches) if len(batches) > 1 else total)
        return _means(sums), _means(others)

    def _noted(self, batch: Batch, sums: dict[str, list[Tensor]], others: dict[str, list[Tensor]]) -> dict[str, Tensor]:
        """Return the losses to learn from, and note their values; nothing else holds on to their graph."""
        own, taught = self.losses(batch)
        self.seen.add(batch.targets, own)
        _gather(sums, own)
        _gather(others, {f"{TAUGHT}{task}": each for task, each in taught.items()})
        return _joined(own, taught)

    def _clip(self) -> Tensor:
        parameters = [each for each in self.trainee.parameters() if each.grad is not None]
        norm = get_total_norm([each.grad for each in parameters])  # type: ignore[misc]  # those without were left out
        if self.training.clip_norm is not None and parameters:
            clip_grads_with_norm_(parameters, self.training.clip_norm, norm)
        return norm

    def _checked(self, figures: list[StepFigures], batches: Sequence[Batch]) -> list[StepFigures]:
        for each in figures:
            check_losses(each)
            if not torch.isfinite(torch.tensor(each.grad_norm)):
                raise TrainingError(self._gradient_message(each, batches if each.step == self.step else []))
        return figures

    def _gradient_message(self, figures: StepFigures, batches: Sequence[Batch]) -> str:
        blamed = [blame_gradient(self.trainee.model, self.losses(batch)[0]) for batch in batches]
        which = ", ".join(dict.fromkeys(each for each in blamed if each))
        where = f"the gradient of {which}" if which else "the gradient of the combined loss"
        full = self.trainee.engine.precision == "32-true"
        advice = (
            "lower `lr` or add `clip_norm`"
            if full
            else "lower `lr`, add `clip_norm`, or train with precision '32-true'"
        )
        return (
            f"step {figures.step} (epoch {figures.epoch}, lr {figures.lr:g}): {where} is {figures.grad_norm} although "
            f"every loss is finite; {advice}"
        )

    def _mask_balancer(self) -> None:
        """Name the weights that are held at zero to a balancer that looks at gradients."""
        if isinstance(self.balance, GradientBalancer):
            model, masks = self.trainee.model, self.trainee.run.masks
            self.balance.masks = {model.get_parameter(name): mask for name, mask in masks.items()}

    def _tell_balancer(self, batch: Batch) -> None:
        """Give the losses after the step to a balancer that asks for them."""
        if self.balance.wants_losses_after_step:
            with torch.no_grad():
                self.balance.after_step(_joined(*self.losses(batch)))


def _joined(own: Mapping[str, Tensor], taught: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Add a task's distance to its loss: balancers and methods see one loss for each task."""
    joined = dict(own)
    for task, distance in taught.items():
        joined[task] = joined[task] + distance if task in joined else distance
    return joined


def _gather(lists: dict[str, list[Tensor]], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        lists.setdefault(name, []).append(value.detach())


def _means(lists: Mapping[str, list[Tensor]]) -> dict[str, Tensor]:
    return {name: values[0] if len(values) == 1 else torch.stack(values).mean() for name, values in lists.items()}
