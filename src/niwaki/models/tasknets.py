"""Several networks, one for each task, as one model: what is compared with sharing, and what shares filters later."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from niwaki.contract import name_outputs
from niwaki.errors import ContractError, did_you_mean
from niwaki.models.naming import check_name

__all__ = ["TaskNets"]


class TaskNets(nn.Module):
    """Runs a network of its own for each task.

    Loops call it with one task at a time where data comes by task, and once where the tasks see the same input. For
    measuring, pruning and export give ``[Example(x, task=name), …]``, or one input that all tasks see. A module that
    two of the networks hold is shared.

    Args:
        nets: Task name to network. A network returns the task's answer, or a dict that holds it under the task's name.

    Raises:
        ContractError: When there is no network, or a task's name can't name a submodule.

    Examples:
        >>> import torch
        >>> nets = TaskNets({"left": nn.Linear(4, 2), "right": nn.Linear(4, 3)})
        >>> x = torch.zeros(5, 4)
        >>> {task: list(answer.shape) for task, answer in nets(x).items()}
        {'left': [5, 2], 'right': [5, 3]}
        >>> list(nets(x, task="right")), list(nets({"left": x, "right": x[:1]}))
        (['right'], ['left', 'right'])
    """

    def __init__(self, nets: Mapping[str, nn.Module]) -> None:
        super().__init__()
        if not nets:
            raise ContractError("TaskNets needs at least one network; give {'depth': module, ...}")
        for task, net in nets.items():
            if not isinstance(net, nn.Module):
                raise ContractError(f"the network of task {task!r} is a {type(net).__name__}; give an nn.Module")
            check_name(task)
        self.nets = nn.ModuleDict(dict(nets))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of the networks."""
        return tuple(self.nets)

    def forward(self, x: Any, *more: Any, task: str | None = None) -> dict[str, Tensor]:
        """Answer one task, or all.

        Args:
            x: What a network takes, `[N, ...]`; without ``task`` also a dict by task of these, or of tuples of inputs:
                each network gets its own, and tasks that are not in it are not answered.
            *more: Further inputs of every network.
            task: The task to answer, or None for all.

        Returns:
            Task name to answer.

        Raises:
            ContractError: When there is no such task, or a network gives no answer for its own.
        """
        if task is not None:
            return {task: self._answer(task, (x, *more))}
        if isinstance(x, Mapping):
            return {each: self._answer(each, own if isinstance(own, tuple) else (own,)) for each, own in x.items()}
        return {each: self._answer(each, (x, *more)) for each in self.nets}

    def _answer(self, task: str, inputs: tuple[Any, ...]) -> Any:
        if task not in self.nets:
            known = ", ".join(self.nets)
            raise ContractError(f"there is no network for {task!r}; there are: {known}{did_you_mean(task, self.nets)}")
        named = name_outputs(self.nets[task](*inputs), [task])
        if task not in named:
            raise ContractError(
                f"the network of task {task!r} answers {', '.join(named) or 'nothing'}; it returns the task's tensor, "
                "or a dict that holds it under the task's name"
            )
        return named[task]
