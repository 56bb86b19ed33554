"""One ready network for each task, as a recipe names them."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import model_validator
from torch import nn

from niwaki.errors import ContractError
from niwaki.models.base import ModelSettings, models
from niwaki.models.tasknets import TaskNets
from niwaki.settings import family

__all__ = ["NetsByTask"]


@models.register("task_nets")
class NetsByTask(ModelSettings):
    """A network of its own for each task, all of one kind: what filter sharing begins with.

    Attributes:
        net: The kind of network and its settings; ``width``, ``in_channels`` and ``pooled`` are said there.
        common_start: Whether all networks begin with the same weights, but for their last layers. Networks that don't
            have their channels in different orders, and filter sharing has to align them first.

    Raises:
        SettingError: When ``width``, ``in_channels`` or ``pooled`` are not said in ``net``.

    Examples:
        >>> import torch
        >>> nets = NetsByTask(net={"kind": "routed_vgg", "norm": "shared", "width": 0.125}).build({"cat": 2, "dog": 3})
        >>> {task: list(answer.shape) for task, answer in nets(torch.zeros(1, 3, 32, 32)).items()}
        {'cat': [1, 2], 'dog': [1, 3]}
    """

    kind: Literal["task_nets"] = "task_nets"
    net: Annotated[ModelSettings, *family(models)]
    common_start: bool = True

    @model_validator(mode="after")
    def _said_inside(self) -> Self:
        misplaced = {"width", "in_channels", "pooled"} & self.model_fields_set
        own = {name for name in misplaced if getattr(self, name) != type(self).model_fields[name].default}
        if own:
            raise ValueError(f"say {', '.join(sorted(own))} inside `net`: it is the single networks that have them")
        return self

    def build(self, tasks_out: Mapping[str, int], *, seed: int = 0) -> nn.Module:
        """Build the networks. See `ModelSettings.build`."""
        if not tasks_out:
            raise ContractError("a network needs at least one task; give its output channels, such as {'depth': 1}")
        stranger = next((task for task in self.net.pooled if task not in tasks_out), None)
        if stranger is not None:
            raise ContractError(f"`pooled` names the task {stranger!r}; the tasks are {', '.join(tasks_out)}")
        return TaskNets(
            {
                task: self._of(task).build({task: out}, seed=seed if self.common_start else seed + number)
                for number, (task, out) in enumerate(tasks_out.items())
            }
        )

    def _of(self, task: str) -> ModelSettings:
        return self.net.model_copy(update={"pooled": tuple(each for each in self.net.pooled if each == task)})

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        return self.build(tasks_out)
