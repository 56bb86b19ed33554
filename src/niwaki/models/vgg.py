"""VGG-16 with dilated heads: the network of structured pruning for multi-task networks."""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from niwaki.models.base import models
from niwaki.models.blocks import PooledHead, conv_norm_relu, conv_relu
from niwaki.models.multitask import MultiTaskNet
from niwaki.models.staged import StagedSettings

__all__ = ["VGG", "DilatedHead", "vgg_trunk"]


@models.register("vgg")
class VGG(StagedSettings):
    """VGG-16's convolutions (Simonyan and Zisserman, arXiv 1409.1556) and a head of dilated branches for each task.

    The heads are those of DeepLabV2's largest VGG (Chen et al., arXiv 1606.00915, "ASPP-L"): the fully connected layers
    fc6, fc7 and fc8 as convolutions, four times over with fc6 at another dilation, and the four answers summed.
    With 40 classes, depth and normals that is the network of Garg et al. (arXiv 2304.06840): 84.1 million parameters,
    of which the heads hold 69.4.

    Attributes:
        norm: ``none``: the convolutions have biases, as in the paper; ``batch``: a batch norm behind each.
        output_stride: The input's size over the features' size; the stages that no longer halve are dilated.
        head_channels: Channels inside each branch of a head.
        rates: Dilation of each branch's first convolution.

    Examples:
        >>> import torch
        >>> net = VGG(width=0.125, pooled=("scene",)).build({"segmentation": 40, "scene": 10})
        >>> {task: tuple(y.shape) for task, y in net(torch.zeros(1, 3, 64, 96)).items()}
        {'segmentation': (1, 40, 64, 96), 'scene': (1, 10)}
    """

    kind: Literal["vgg"] = "vgg"
    norm: Literal["none", "batch"] = "none"
    output_stride: Literal[8, 16, 32] = 8
    head_channels: int = Field(default=1024, ge=1)
    rates: tuple[int, ...] = Field(default=(6, 12, 18, 24), min_length=1)

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        channels = (self.in_channels, *self._counts())
        trunk = vgg_trunk(channels, self.depths, self.output_stride, norm=self.norm == "batch")
        return MultiTaskNet(trunk, {t: self._head(t, channels[-1], n) for t, n in tasks_out.items()}, resize=True)

    def _head(self, task: str, in_channels: int, out_channels: int) -> nn.Module:
        if task in self.pooled:
            return PooledHead(in_channels, out_channels)
        return DilatedHead(in_channels, self._wide(self.head_channels), out_channels, self.rates)


def vgg_trunk(channels: tuple[int, ...], depths: tuple[int, ...], output_stride: int, *, norm: bool) -> nn.Sequential:
    """Return stages of 3x3 convolutions, each with a max pool behind it.

    Once the features are `output_stride` times smaller than the image, pools keep the size and the convolutions after
    each are dilated twice as far, so that they see what they saw before.

    Args:
        channels: Channels of the image and of each stage.
        depths: Convolutions of each stage.
        output_stride: How much smaller the features may be than the image; a power of 2.
        norm: Whether a batch norm follows each convolution.

    Returns:
        `[N, channels[0], H, W] -> [N, channels[-1], H / s, W / s]` with `s = min(output_stride, 2^stages)`.
    """
    layer = conv_norm_relu if norm else conv_relu
    stages: list[nn.Module] = []
    reached, dilation = 1, 1
    for (inside, out), depth in zip(pairwise(channels), depths, strict=True):
        counts = (inside, *(out,) * depth)
        convolutions = [layer(a, b, dilation=dilation) for a, b in pairwise(counts)]
        if reached < output_stride:
            pool, reached = nn.MaxPool2d(2), reached * 2
        else:
            pool, dilation = nn.MaxPool2d(3, 1, 1), dilation * 2
        stages.append(nn.Sequential(*convolutions, pool))
    return nn.Sequential(*stages)


class DilatedHead(nn.Module):
    """Branches of a dilated 3x3 and two 1x1 convolutions, whose answers are summed, at the size of the features.

    Args:
        in_channels: Channels of the features.
        channels: Channels inside each branch.
        out_channels: Channels of the answer.
        rates: Dilation of each branch.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Sequential(
                conv_relu(in_channels, channels, dilation=rate),
                conv_relu(channels, channels, 1),
                nn.Conv2d(channels, out_channels, 1),
            )
            for rate in rates
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, h, w]` to `[N, out, h, w]`."""
        answer: Tensor = self.branches[0](x)
        for branch in self.branches[1:]:
            answer = answer + branch(x)
        return answer
