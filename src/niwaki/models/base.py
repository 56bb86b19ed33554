"""What every ready network's settings share: a width, the tasks with one vector per image, and a seed for weights."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import nn

from niwaki.errors import ContractError
from niwaki.models.initial import initialise
from niwaki.models.naming import check_name
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["ModelSettings", "models"]


class ModelSettings(Settings):
    """The settings of a ready network. They know the trunk; the tasks come when it is built.

    Attributes:
        width: Multiplies every channel count of trunk and heads, in (0, 8]; counts are rounded to multiples of 8.
        in_channels: Channels of the input image, at least 1.
        pooled: Names of the tasks that answer once for the whole image (classification, regression): their output is
            `[batch, channels]`. Every other task's output is a map `[batch, channels, height, width]` of the input's
            height and width.
    """

    width: float = Field(default=1.0, gt=0, le=8)
    in_channels: int = Field(default=3, ge=1)
    pooled: tuple[str, ...] = ()

    def build(self, tasks_out: Mapping[str, int], *, seed: int = 0) -> nn.Module:
        """Build the network on the CPU with fresh weights; the global random state is left as it was.

        Args:
            tasks_out: Output channels of each task. Surface normals take 3, depth 1, segmentation one for each class.
            seed: Seed of the initial weights.

        Returns:
            A plain module whose `forward(x)` returns `dict[task, Tensor]`.

        Raises:
            ContractError: When there is no task, a task's name can't name a submodule, a count is not positive, or
                `pooled` names a task that is not there.
        """
        _check(tasks_out, self.pooled)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = self._assemble(dict(tasks_out))
        self._draw(model, torch.Generator().manual_seed(seed))
        return model

    @abstractmethod
    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        """Put the layers together; their weights are drawn afterwards."""

    def _draw(self, model: nn.Module, generator: torch.Generator) -> None:
        """Draw the first weights of what was put together."""
        initialise(model, generator)

    def _wide(self, channels: int) -> int:
        """Scale a channel count by the width, to the nearest multiple of 8 and at least 8."""
        return max(8, round(channels * self.width / 8) * 8)


models: Registry[type[ModelSettings]] = Registry("model")
"""Name to settings class of every ready network."""


def _check(tasks_out: Mapping[str, int], pooled: tuple[str, ...]) -> None:
    if not tasks_out:
        raise ContractError("a network needs at least one task; give its output channels, such as {'depth': 1}")
    for task in tasks_out:
        check_name(task)
    wrong = next((task for task, channels in tasks_out.items() if channels < 1), None)
    if wrong is not None:
        raise ContractError(f"task {wrong!r} has {tasks_out[wrong]} output channels; give at least 1")
    stranger = next((task for task in pooled if task not in tasks_out), None)
    if stranger is not None:
        raise ContractError(f"`pooled` names the task {stranger!r}; the tasks are {', '.join(tasks_out)}")
