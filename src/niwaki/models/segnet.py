"""SegNet: the VGG-16 encoder with batch norm, and decoders that unpool to where each maximum was found."""

from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Size, Tensor, nn
from torch.nn import functional as F

from niwaki.models.base import models
from niwaki.models.blocks import Level, PooledHead, conv_norm_relu
from niwaki.models.multitask import MultiTaskNet
from niwaki.models.staged import StagedSettings

__all__ = ["SegNet", "SegNetDecoder", "SegNetEncoder"]


@models.register("segnet")
class SegNet(StagedSettings):
    """SegNet (Badrinarayanan et al., arXiv 1511.00561) as the plain network of multi-task papers.

    Attributes:
        decoder: ``per_task``: all tasks share the encoder, each has a decoder (the "split" of MTAN's tables,
            arXiv 1803.10704). ``shared``: one decoder for all, and two convolutions a task.

    Examples:
        >>> import torch
        >>> net = SegNet(width=0.125, decoder="shared").build({"segmentation": 7, "depth": 1})
        >>> net(torch.zeros(1, 3, 32, 64))["depth"].shape
        torch.Size([1, 1, 32, 64])
    """

    kind: Literal["segnet"] = "segnet"
    decoder: Literal["per_task", "shared"] = "per_task"

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        channels = self._counts()
        encoder = SegNetEncoder(self.in_channels, channels, self.depths)
        if self.decoder == "shared":
            trunk = nn.Sequential(encoder, SegNetDecoder(channels, self.depths))
            return MultiTaskNet(trunk, {t: self._light_head(t, channels[0], n) for t, n in tasks_out.items()})
        return MultiTaskNet(encoder, {t: self._own_decoder(t, channels, n) for t, n in tasks_out.items()})

    def _light_head(self, task: str, inside: int, out: int) -> nn.Module:
        if task in self.pooled:
            return PooledHead(inside, out)
        return nn.Sequential(conv_norm_relu(inside, inside), nn.Conv2d(inside, out, 1))

    def _own_decoder(self, task: str, channels: tuple[int, ...], out: int) -> nn.Module:
        if task in self.pooled:
            return nn.Sequential(Level(0), PooledHead(channels[-1], out))
        return nn.Sequential(SegNetDecoder(channels, self.depths), nn.Conv2d(channels[0], out, 1))


class Pooled(NamedTuple):
    """What the encoder hands on: the deepest features, and of every pool the indices and the size before it."""

    features: Tensor
    indices: tuple[Tensor, ...]
    sizes: tuple[Size, ...]


class SegNetEncoder(nn.Module):
    """Stages of 3x3 convolutions, each with a 2x2 max pool whose indices are kept.

    Args:
        in_channels: Channels of the image.
        channels: Channels of each stage.
        depths: Convolutions of each stage.
    """

    def __init__(self, in_channels: int, channels: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        before = (in_channels, *channels[:-1])
        self.stages = nn.ModuleList(
            _convolutions(inside, out, out, depth) for inside, out, depth in zip(before, channels, depths, strict=True)
        )

    def forward(self, x: Tensor) -> Pooled:
        """Map `[N, in, H, W]` to `[N, channels[-1], H / 2^stages, W / 2^stages]` and the way back."""
        indices: list[Tensor] = []
        sizes: list[Size] = []
        for stage in self.stages:
            x = stage(x)
            sizes.append(x.shape[-2:])
            x, index = F.max_pool2d(x, 2, return_indices=True)
            indices.append(index)
        return Pooled(x, tuple(indices), tuple(sizes))


class SegNetDecoder(nn.Module):
    """The encoder backwards: unpool to the kept indices, then the stage's convolutions.

    Args:
        channels: Channels of the encoder's stages.
        depths: Convolutions of the encoder's stages.
    """

    def __init__(self, channels: tuple[int, ...], depths: tuple[int, ...]) -> None:
        super().__init__()
        after = (*channels[-2::-1], channels[0])
        self.stages = nn.ModuleList(
            _convolutions(inside, inside, out, depth)
            for inside, out, depth in zip(channels[::-1], after, depths[::-1], strict=True)
        )

    def forward(self, pooled: Pooled) -> Tensor:
        """Map what the encoder returned to `[N, channels[0], H, W]`."""
        x = pooled.features
        backwards = zip(self.stages, pooled.indices[::-1], pooled.sizes[::-1], strict=True)
        for stage, index, size in backwards:
            x = stage(F.max_unpool2d(x, index, (2, 2), output_size=size))
        return x


def _convolutions(in_channels: int, inside: int, out_channels: int, depth: int) -> nn.Sequential:
    counts = (in_channels, *(inside,) * (depth - 1), out_channels)
    return nn.Sequential(*(conv_norm_relu(a, b) for a, b in pairwise(counts)))
