"""Calibration: what the tasks' losses say of a model on a few batches, with everything left as it was found."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Batch, Call, Named, answers, read_batch
from niwaki.errors import ContractError, DataError
from niwaki.methods.prune.evidence import Evidence, requiring_grad, task_gradients
from niwaki.modules import device_of, evaluating, unwrap
from niwaki.tasks import Task, task_losses

__all__ = ["Calibration", "open_calibration"]


@dataclass(frozen=True)
class Calibration:
    """Some batches and the tasks they have labels for.

    The model runs in evaluation mode: no statistic moves and nothing is dropped, so that the same batches say the same
    again. Gradients, modes, frozen parameters and random generators are left as they were.

    Attributes:
        tasks: The tasks.
        batches: As `niwaki.contract.read_batch` takes them.
    """

    tasks: tuple[Task, ...]
    batches: tuple[Any, ...]

    def show(self, model: nn.Module, evidence: Evidence) -> None:
        """Show every batch's gradients to a criterion's evidence.

        Args:
            model: The model, unwrapped.
            evidence: What gathers them.
        """
        parameters = {name: model.get_parameter(name) for name in evidence.parameters}
        with _undisturbed(model), requiring_grad(model, evidence.parameters), torch.enable_grad():
            for batch in self.batches:
                evidence.see(parameters, task_gradients(parameters, self.losses(model, batch)))

    def mean_losses(self, model: nn.Module) -> dict[str, float]:
        """Return each task's mean loss over the batches in which it has labels.

        Args:
            model: The model.

        Returns:
            Task to loss, in the order of the tasks; a task without any label is missing.
        """
        found: dict[str, list[float]] = {}
        with _undisturbed(model), torch.no_grad():
            for batch in self.batches:
                for task, loss in self.losses(model, batch).items():
                    found.setdefault(task, []).append(float(loss))
        return {task.name: sum(found[task.name]) / len(found[task.name]) for task in self.tasks if task.name in found}

    def losses(self, model: nn.Module, batch: Any) -> dict[str, Tensor]:
        """Return the losses of one batch: a forward pass for each call that it stands for."""
        device, names = device_of(model), [task.name for task in self.tasks]
        read = read_batch(batch, names, unwrap(model))
        calls = tuple(Call(call.example.map(lambda each: each.to(device)), call.tasks) for call in read.calls)
        targets = {name: _to(device, each) for name, each in read.targets.items()}
        return task_losses(self.tasks, answers(model, Batch(calls, targets)), targets)


def open_calibration(tasks: Sequence[Named | str] | None, data: Iterable[Any] | None, count: int | None) -> Calibration:
    """Take the first batches of some data.

    Args:
        tasks: The tasks, with their losses.
        data: Batches; read once, here.
        count: How many are taken at most, at least 1; None takes all.

    Returns:
        The calibration.

    Raises:
        ContractError: When there is no data, or a task has no loss.
        DataError: When the data holds no batch.
    """
    if data is None:
        raise ContractError(
            "batches are needed to judge channels by what the tasks lose: give `data`, batches of (x, {task: target})"
        )
    chosen = tuple(each for each in tasks or () if isinstance(each, Task))
    if not chosen or len(chosen) < len(tasks or ()):
        given = "none" if tasks is None else ", ".join(map(repr, tasks))
        raise ContractError(
            "the tasks' losses are needed to judge channels by what they lose: give `tasks` as niwaki tasks, such as "
            f"[nw.Depth()]; got {given}"
        )
    with _same_chance(None):
        batches = tuple(islice(data, count))
    if not batches:
        raise DataError("the calibration data holds no batch; an iterator that was read before is empty")
    return Calibration(chosen, batches)


@contextmanager
def _undisturbed(model: nn.Module) -> Iterator[None]:
    with evaluating(model), _same_chance(device_of(model)):
        yield


@contextmanager
def _same_chance(device: torch.device | None) -> Iterator[None]:
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        yield


def _to(device: torch.device, value: Any) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
