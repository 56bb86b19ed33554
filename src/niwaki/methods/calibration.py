"""Calibration: what the tasks' losses say of a model on a few batches, with everything left as it was found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from niwaki.contract import Batch, Call, Named, answers, read_batch
from niwaki.errors import ContractError, DataError
from niwaki.modules import device_of, evaluating, leaving_chance_alone, unwrap
from niwaki.tasks import Task, task_losses

__all__ = ["Calibration", "Gradients", "Watcher", "open_calibration", "requiring_grad", "task_gradients"]

Gradients = Mapping[str, Mapping[str, Tensor]]
"""Task to parameter to the gradient of the task's own loss; a parameter that the loss does not reach is missing."""


class Watcher(Protocol):
    """What looks at the tasks' gradients, batch by batch."""

    @property
    def parameters(self) -> Sequence[str]:
        """Canonical names of the parameters whose gradients it reads."""

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Look at one batch.

        Args:
            parameters: Name to value, of `parameters` at least.
            gradients: Each labelled task's gradients.
        """


@dataclass(frozen=True)
class Calibration:
    """Some batches and the tasks they have labels for.

    The model runs in evaluation mode: nothing is dropped, so that the same batches say the same again. Gradients,
    modes, statistics, frozen parameters and random generators are left as they were.

    Attributes:
        tasks: The tasks.
        batches: As `niwaki.contract.read_batch` takes them.
        norms: What batch norms take: their ``"running"`` statistics, or those of the ``"batch"``, as in training; a
            network that was never trained has no others. Norms that alone are in evaluation mode stay so.
    """

    tasks: tuple[Task, ...]
    batches: tuple[Any, ...]
    norms: Literal["running", "batch"] = "running"

    def show(self, model: nn.Module, watcher: Watcher) -> None:
        """Show every batch's gradients to somebody.

        Args:
            model: The model, unwrapped.
            watcher: What gathers them.
        """
        parameters = {name: model.get_parameter(name) for name in watcher.parameters}
        with self.undisturbed(model), requiring_grad(model, watcher.parameters), torch.enable_grad():
            for batch in self.batches:
                watcher.see(parameters, task_gradients(parameters, self.losses(model, batch)))

    def mean_losses(self, model: nn.Module) -> dict[str, float]:
        """Return each task's mean loss over the batches in which it has labels.

        Args:
            model: The model.

        Returns:
            Task to loss, in the order of the tasks; a task without any label is missing.
        """
        found: dict[str, list[float]] = {}
        with self.undisturbed(model), torch.no_grad():
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

    @contextmanager
    def undisturbed(self, model: nn.Module) -> Iterator[None]:
        """Put a model into evaluation mode for a while, with the batch norms as `norms` says.

        Args:
            model: The model.
        """
        norms = [each for each in model.modules() if isinstance(each, _BatchNorm) and self.norms == "batch"]
        live = [each for each in norms if each.training or not model.training]
        with evaluating(model), _on_the_batch(live), leaving_chance_alone(device_of(model)):
            yield


def task_gradients(parameters: Mapping[str, Tensor], losses: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the gradient of each task's own loss: one backward pass a task, which reaches these parameters only.

    The graph is kept, and no ``grad`` is touched.

    Args:
        parameters: Name to parameter; those that need no gradient are left out.
        losses: Task to scalar.

    Returns:
        Task to name to gradient, the tasks in alphabetical order, so that nothing hangs on theirs.

    Raises:
        ContractError: When a backward pass through the losses has gone before.

    Examples:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> task_gradients({"w": w}, {"near": w.sum(), "far": (w * w).sum()})
        {'far': {'w': tensor([2., 4.])}, 'near': {'w': tensor([1., 1.])}}
    """
    wanted = {name: each for name, each in parameters.items() if each.requires_grad}
    found: dict[str, dict[str, Tensor]] = {}
    for task in sorted(losses):
        if not losses[task].requires_grad or not wanted:
            found[task] = {}
            continue
        try:
            gradients = torch.autograd.grad(losses[task], list(wanted.values()), retain_graph=True, allow_unused=True)
        except RuntimeError as error:
            if "a second time" not in str(error):
                raise
            raise ContractError(
                f"the graph of the loss of {task!r} is gone: call run.before_backward(model, losses) before backward()"
            ) from error
        found[task] = {name: each for name, each in zip(wanted, gradients, strict=True) if each is not None}
    return found


@contextmanager
def requiring_grad(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Let parameters need gradients for a while; afterwards each is as frozen as it was.

    Args:
        model: The model.
        names: Canonical names of its parameters.

    Examples:
        >>> net = nn.Linear(2, 2).requires_grad_(False)
        >>> with requiring_grad(net, ["weight"]):
        ...     net.weight.requires_grad
        True
        >>> net.weight.requires_grad
        False
    """
    frozen = [each for each in map(model.get_parameter, names) if not each.requires_grad]
    try:
        for each in frozen:
            each.requires_grad = True
        yield
    finally:
        for each in frozen:
            each.requires_grad = False


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
            "batches are needed to judge by the tasks' losses what may go: give `data`, batches of (x, {task: target})"
        )
    chosen = tuple(each for each in tasks or () if isinstance(each, Task))
    if not chosen or len(chosen) < len(tasks or ()):
        given = "none" if tasks is None else ", ".join(map(repr, tasks))
        raise ContractError(
            "the tasks' losses are needed to judge what may go: give `tasks` as niwaki tasks, such as "
            f"[nw.Depth()]; got {given}"
        )
    with leaving_chance_alone():
        batches = tuple(islice(data, count))
    if not batches:
        raise DataError("the calibration data holds no batch; an iterator that was read before is empty")
    return Calibration(chosen, batches)


@contextmanager
def _on_the_batch(norms: Sequence[_BatchNorm]) -> Iterator[None]:
    """Let batch norms take the batch's statistics, and forget what they learn of them."""
    kept = [(each, each.clone()) for norm in norms for each in norm.buffers()]
    for norm in norms:
        norm.training = True
    try:
        yield
    finally:
        for buffer, before in kept:
            buffer.data.copy_(before)


def _to(device: torch.device, value: Any) -> Any:
    return value.to(device) if isinstance(value, Tensor) else value
