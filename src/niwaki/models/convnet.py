"""A compact network for small pictures: convolutions, one hidden layer, a light head a task."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from niwaki.errors import ContractError
from niwaki.models.base import ModelSettings, models
from niwaki.models.blocks import conv_norm_relu
from niwaki.models.multitask import MultiTaskNet

__all__ = ["ConvNet", "FlatTrunk"]


@models.register("convnet")
class ConvNet(ModelSettings):
    """A LeNet-like network for small pictures, whose hidden layer sees where things are.

    The last feature maps are flattened, not averaged, so that "the digit on the left" can be told from the one on the
    right. Every task is answered once for the image, whether `pooled` names it or not.

    Attributes:
        size: Height and width of the picture, to which the hidden layer is bound.
        channels: Channels of the stages; each halves the picture.
        depth: Convolutions of each stage.
        hidden: Units of the layer that all tasks share.
        head_channels: Units inside each task's head.

    Raises:
        SettingError: When the picture is too small for the stages.

    Examples:
        >>> import torch
        >>> net = ConvNet(size=(36, 36), in_channels=1, width=0.25).build({"left": 10, "right": 10})
        >>> net(torch.zeros(2, 1, 36, 36))["left"].shape
        torch.Size([2, 10])
    """

    kind: Literal["convnet"] = "convnet"
    size: tuple[int, int] = (32, 32)
    channels: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1)
    depth: int = Field(default=1, ge=1)
    hidden: int = Field(default=128, ge=1)
    head_channels: int = Field(default=64, ge=1)

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        least = 2 ** len(self.channels)
        if min(self.size) < least:
            raise ValueError(f"{len(self.channels)} stages need a picture of at least {least} pixels a side")
        return self

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        channels = (self.in_channels, *(self._wide(count) for count in self.channels))
        hidden = self._wide(self.hidden)
        trunk = FlatTrunk(channels, self.depth, self.size, hidden)
        return MultiTaskNet(trunk, {task: self._head(hidden, out) for task, out in tasks_out.items()})

    def _head(self, hidden: int, out_channels: int) -> nn.Module:
        inside = self._wide(self.head_channels)
        return nn.Sequential(nn.Linear(hidden, inside), nn.ReLU(), nn.Linear(inside, out_channels))


class FlatTrunk(nn.Module):
    """Stages of 3x3 convolutions with batch norms and 2x2 max pools, flattened, and a linear layer.

    Args:
        channels: Channels of the picture and of each stage.
        depth: Convolutions of each stage.
        size: Height and width of the picture.
        hidden: Units of the linear layer.
    """

    def __init__(self, channels: tuple[int, ...], depth: int, size: tuple[int, int], hidden: int) -> None:
        super().__init__()
        self.size = size
        layers: list[nn.Module] = []
        for inside, out in pairwise(channels):
            layers.extend(conv_norm_relu(a, b) for a, b in pairwise((inside, *(out,) * depth)))
            layers.append(nn.MaxPool2d(2))
        self.stages = nn.Sequential(*layers, nn.Flatten())
        height, width = (side // 2 ** (len(channels) - 1) for side in size)
        self.hidden = nn.Sequential(nn.Linear(channels[-1] * height * width, hidden), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, channels[0], *size]` to `[N, hidden]`.

        Raises:
            ContractError: When the picture has another size than the network was built for.
        """
        if tuple(x.shape[-2:]) != self.size:
            raise ContractError(
                f"the network was built for pictures of {self.size[0]}x{self.size[1]} and got "
                f"{x.shape[-2]}x{x.shape[-1]}; build it with another `size`, or resize the pictures"
            )
        hidden: Tensor = self.hidden(self.stages(x))
        return hidden
