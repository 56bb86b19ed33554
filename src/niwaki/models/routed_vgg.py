"""VGG-16 for tasks with pictures of their own: shared convolutions, and batch norms and a linear head for each task."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Literal, cast

from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.errors import ContractError, did_you_mean
from niwaki.models.base import models
from niwaki.models.blocks import PooledHead
from niwaki.models.staged import StagedSettings
from niwaki.models.vgg import vgg_trunk

__all__ = ["RoutedNet", "RoutedVGG", "TaskNormTrunk"]


@models.register("routed_vgg")
class RoutedVGG(StagedSettings):
    """VGG-16 (Simonyan and Zisserman, arXiv 1409.1556) that runs one task at a time: `forward(x, task=NAME)`.

    The network of CIFAR-100 as 20 tasks (Guo et al., Neurocomputing 650:130865): tasks share the convolutions, and each
    has its own batch norms, because each has its own pictures. Every task is answered once for the image, whether
    `pooled` names it or not.

    Attributes:
        norm: ``per_task``: a set of batch norms for each task; ``shared``: one for all; ``none``: no norms, and
            convolutions with biases.

    Examples:
        >>> import torch
        >>> net = RoutedVGG(width=0.125).build({"fish": 5, "flowers": 5})
        >>> net(torch.zeros(2, 3, 32, 32), task="flowers")["flowers"].shape
        torch.Size([2, 5])
        >>> sorted(net(torch.zeros(2, 3, 32, 32)))
        ['fish', 'flowers']
    """

    kind: Literal["routed_vgg"] = "routed_vgg"
    norm: Literal["per_task", "shared", "none"] = "per_task"

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        channels = (self.in_channels, *self._counts())
        heads = {task: PooledHead(channels[-1], out) for task, out in tasks_out.items()}
        if self.norm == "per_task":
            return RoutedNet(TaskNormTrunk(channels, self.depths, tuple(tasks_out)), heads)
        stages = vgg_trunk(channels, self.depths, 2 ** len(self.depths), norm=self.norm == "shared")
        return RoutedNet(SameTrunk(stages), heads)


class RoutedNet(nn.Module):
    """Runs a trunk that is told the task, and the head of that task.

    Args:
        trunk: Called as `trunk(x, task)`.
        heads: Task name to module.
    """

    def __init__(self, trunk: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.trunk = trunk
        self.heads = nn.ModuleDict(dict(heads))

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in the order of the heads."""
        return tuple(self.heads)

    def forward(self, x: Tensor, task: str | None = None) -> dict[str, Tensor]:
        """Answer one task, or every task about the same pictures.

        Args:
            x: `[N, ...]`, what the trunk takes.
            task: The task to run; None runs all, one after the other.

        Returns:
            Task name to that head's answer.

        Raises:
            ContractError: When there is no such task.
        """
        asked = self.tasks if task is None else (task,)
        return {name: self._head(name)(self.trunk(x, name)) for name in asked}

    def _head(self, task: str) -> nn.Module:
        if task in self.heads:
            return self.heads[task]
        close, known = did_you_mean(str(task), self.tasks), ", ".join(self.tasks)
        raise ContractError(f"the network has no task {task!r}{close} (it has: {known})")


class SameTrunk(nn.Module):
    """A trunk that is the same for every task.

    Args:
        stages: The trunk.
    """

    def __init__(self, stages: nn.Module) -> None:
        super().__init__()
        self.stages = stages

    def forward(self, x: Tensor, _task: str) -> Tensor:
        """Return the features, whatever the task."""
        features: Tensor = self.stages(x)
        return features


class TaskNormTrunk(nn.Module):
    """Stages of 3x3 convolutions that all tasks share, each with a batch norm for each task.

    Args:
        channels: Channels of the image and of each stage.
        depths: Convolutions of each stage.
        tasks: Names of the tasks.
    """

    def __init__(self, channels: tuple[int, ...], depths: tuple[int, ...], tasks: tuple[str, ...]) -> None:
        super().__init__()
        counts = [(inside, *(out,) * depth) for (inside, out), depth in zip(pairwise(channels), depths, strict=True)]
        self.stages = nn.ModuleList(
            nn.ModuleList(nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in pairwise(stage)) for stage in counts
        )
        self.norms = nn.ModuleDict(
            {task: nn.ModuleList(nn.ModuleList(map(nn.BatchNorm2d, stage[1:])) for stage in counts) for task in tasks}
        )

    def forward(self, x: Tensor, task: str) -> Tensor:
        """Map `[N, channels[0], H, W]` to `[N, channels[-1], H / 2^stages, W / 2^stages]` with a task's norms."""
        own = cast("nn.ModuleList", self.norms[task])
        for stage, norms in zip(self.stages, own, strict=True):
            for convolution, norm in zip(cast("nn.ModuleList", stage), cast("nn.ModuleList", norms), strict=True):
                x = F.relu(norm(convolution(x)))
            x = F.max_pool2d(x, 2)
        return x
