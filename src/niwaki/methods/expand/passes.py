"""One pass through the network for each task, where each task sees weights of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from niwaki.contract import as_examples, is_routed, name_outputs
from niwaki.errors import ContractError
from niwaki.methods.expand.factors import Factors
from niwaki.methods.expand.layers import Reach

__all__ = ["TaskNorm", "join_passes", "passes_of", "require_whole_answers", "show_task", "split_passes"]

_OWN = "niwaki_tasks"
"""Attribute of a network that runs once for each task: their names."""

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class TaskNorm(nn.Module):
    """A batch norm with running statistics for each task, since each task's weights give other activations.

    Args:
        norm: The norm whose place it takes; weight, bias and their names stay.
        tasks: All tasks.
        owners: The tasks that reach it.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, norm: _BatchNorm, tasks: Sequence[str], owners: Sequence[str]) -> None:
        super().__init__()
        self.norm = [norm]  # not as a child: its parameters are these
        self.tasks = tuple(tasks)
        self.owners = tuple(owners)
        self.task: str | None = None
        self.weight = norm.weight
        self.bias = norm.bias
        for name, buffer in norm.named_buffers():
            self.register_buffer(name, torch.stack([buffer] * len(self.tasks)))
        self.training = norm.training

    def forward(self, x: Tensor) -> Tensor:
        """Normalise with the statistics of the task that runs."""
        (norm,) = self.norm
        place = self.tasks.index(self.task) if self.task is not None else 0
        momentum = norm.momentum
        if self.training:
            self.num_batches_tracked[place] += 1
            momentum = 1 / self.num_batches_tracked[place].item() if momentum is None else momentum
        mean, var = self.running_mean[place], self.running_var[place]
        return F.batch_norm(x, mean, var, self.weight, self.bias, self.training, momentum or 0.0, norm.eps)

    def joined(self, task: str | None = None) -> _BatchNorm:
        """Return a plain norm: with a task's own statistics, or those of all tasks' activations taken together.

        Args:
            task: The task, or None for all.
        """
        (norm,) = self.norm
        rows = [self.tasks.index(each) for each in ([task] if task is not None else self.owners)]
        mean, var = self.running_mean[rows], self.running_var[rows]
        norm.to(mean.device)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.num_batches_tracked is not None
        with torch.no_grad():
            norm.running_mean.copy_(mean.mean(0))
            norm.running_var.copy_(var.mean(0) + mean.var(0, unbiased=False))  # the law of total variance
            norm.num_batches_tracked.copy_(self.num_batches_tracked[rows].max())
        norm.weight, norm.bias, norm.training = self.weight, self.bias, self.training
        return norm


def require_whole_answers(model: nn.Module, example: Any, combine: str) -> None:
    """Refuse a model that answers one task in a call.

    Args:
        model: The model, unwrapped.
        example: Its inputs.
        combine: The setting that needs more, for the message.

    Raises:
        ContractError: When it is routed, or several examples stand for several paths.
    """
    if is_routed(model) or len(as_examples(example)) > 1:
        raise ContractError(
            f'combine="{combine}" calls the model once for each task by itself, so one call must answer all tasks; '
            'this model answers one task in a call: choose "product" or "mean"'
        )


def split_passes(model: nn.Module, reach: Reach) -> None:
    """Let one call of a model run it once for each task, and take each task's answer from its own pass.

    Args:
        model: The model with `Factors`, unwrapped; its class and its batch norms change in place.
        reach: Task to the parameters that it learns.
    """
    tasks = tuple(reach)
    for name, norm in _norms(model):
        users = [task for task in tasks if f"{name}.weight" in reach[task]]
        _put(model, name, TaskNorm(norm, tasks, users or tasks))
    base = type(model)
    vars(model)[_OWN] = tasks
    model.__class__ = type(f"ByTask{base.__name__}", (base,), {"forward": _by_task(base.forward)})


def join_passes(model: nn.Module, task: str | None = None) -> None:
    """Undo `split_passes`: one pass, plain batch norms.

    Args:
        model: The model; changed in place. One that was not split stays as it is.
        task: Whose statistics the norms keep; None takes them together.
    """
    if _OWN not in vars(model):
        return
    for name, norm in [(name, each) for name, each in model.named_modules() if isinstance(each, TaskNorm)]:
        _put(model, name, norm.joined(task))
    model.__class__ = type(model).__bases__[0]
    del vars(model)[_OWN]
    show_task(model, None)


def passes_of(model: nn.Module) -> tuple[str, ...]:
    """Return the tasks for which a model runs once each; none for a model of one pass.

    Args:
        model: The model, unwrapped.
    """
    found: tuple[str, ...] = vars(model).get(_OWN, ())
    return found


def show_task(model: nn.Module, task: str | None) -> None:
    """Let every layer compute the weight that one task sees, or None for the one that all see.

    Args:
        model: The model.
        task: Name of the task.
    """
    for module in model.modules():
        if isinstance(module, Factors | TaskNorm):
            module.task = task


def _norms(model: nn.Module) -> list[tuple[str, _BatchNorm]]:
    return [
        (name, each)
        for name, each in model.named_modules()
        if name and isinstance(each, _NORMS) and each.track_running_stats
    ]


def _by_task(forward: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(forward)
    def call(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        tasks = vars(self)[_OWN]
        answers = list(_passes(self, tasks, lambda: forward(self, *args, **kwargs)))
        first = answers[0]
        own = {task: name_outputs(each, tasks)[task] for task, each in zip(tasks, answers, strict=True)}
        if isinstance(first, Mapping):
            return {**first, **own}
        return type(first)(own.values()) if type(first) in (tuple, list) else type(first)(*own.values())

    return call


def _passes(model: nn.Module, tasks: Sequence[str], run: Callable[[], Any]) -> Iterator[Any]:
    for task in tasks:
        show_task(model, task)
        yield run()
    show_task(model, None)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, module)
