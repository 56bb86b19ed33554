"""A compact ResNet encoder with a UNet decoder, shared by all tasks, and a light head for each: the demo's network."""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, cat, nn
from torch.nn import functional as F

from niwaki.models.base import ModelSettings, models
from niwaki.models.blocks import BasicBlock, PooledHead, conv_norm_relu, residual_stage
from niwaki.models.multitask import MultiTaskNet

__all__ = ["ResNetUNet", "ResNetUNetTrunk"]


@models.register("resnet_unet")
class ResNetUNet(ModelSettings):
    """A small trunk for images of about 100 to 300 pixels a side; nearly all parameters are shared by the tasks.

    Attributes:
        channels: Channels of the encoder's stages at 1/2, 1/4, 1/8… of the input, at least two. The decoder
            goes back through the same counts.
        depth: Residual blocks of each stage, at least 1.
        head_channels: Channels inside each task's head.

    Examples:
        >>> net = ResNetUNet(width=0.25).build({"segmentation": 13, "depth": 1, "normals": 3})
        >>> import torch
        >>> {task: tuple(y.shape) for task, y in net(torch.zeros(1, 3, 48, 64)).items()}
        {'segmentation': (1, 13, 48, 64), 'depth': (1, 1, 48, 64), 'normals': (1, 3, 48, 64)}
    """

    kind: Literal["resnet_unet"] = "resnet_unet"
    channels: tuple[int, ...] = Field(default=(32, 64, 128, 192), min_length=2)
    depth: int = Field(default=2, ge=1)
    head_channels: int = Field(default=32, ge=1)

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        channels = tuple(self._wide(count) for count in self.channels)
        trunk = ResNetUNetTrunk(self.in_channels, channels, self.depth)
        return MultiTaskNet(trunk, {t: self._head(t, channels[0], n) for t, n in tasks_out.items()}, resize=True)

    def _head(self, task: str, in_channels: int, out_channels: int) -> nn.Module:
        if task in self.pooled:
            return PooledHead(in_channels, out_channels)
        inside = self._wide(self.head_channels)
        return nn.Sequential(conv_norm_relu(in_channels, inside), nn.Conv2d(inside, out_channels, 1))


class ResNetUNetTrunk(nn.Module):
    """Residual stages, each at half the size of the one before, and a decoder that meets them on the way back.

    Args:
        in_channels: Channels of the image.
        channels: Channels of each stage.
        depth: Residual blocks of each stage.
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...], depth: int) -> None:
        super().__init__()
        self.stem = conv_norm_relu(in_channels, channels[0], stride=2)
        before = (channels[0], *channels[:-1])
        self.stages = nn.ModuleList(
            residual_stage(BasicBlock, inside, out, depth, stride=1 if i == 0 else 2)
            for i, (inside, out) in enumerate(zip(before, channels, strict=True))
        )
        upwards = channels[::-1]
        self.joins = nn.ModuleList(conv_norm_relu(deep + skip, skip) for deep, skip in pairwise(upwards))

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, H, W]` to `[N, channels[0], H / 2, W / 2]`."""
        x = self.stem(x)
        skips: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            skips.append(x)
        for join, skip in zip(self.joins, skips[-2::-1], strict=True):
            grown = F.interpolate(x, size=skip.shape[-2:], mode="nearest")  # the convolution behind it smooths
            x = join(cat([grown, skip], 1))
        return x
