"""MobileNetV2 with a pyramid head for each task that answers with a map, and shared last features for the others."""

from typing import Literal, NamedTuple

from pydantic import Field
from torch import Tensor, nn

from niwaki.models.base import ModelSettings, models
from niwaki.models.blocks import Level, PooledHead, conv_norm
from niwaki.models.deeplab import PyramidHead
from niwaki.models.multitask import MultiTaskNet

__all__ = ["InvertedResidual", "MobileNetTrunk", "MobileNetV2"]


class Stage(NamedTuple):
    """One row of table 2 of the paper: expansion, channels out, blocks, stride."""

    expansion: int
    channels: int
    depth: int
    stride: int


_STAGES = (
    Stage(1, 16, 1, 1),
    Stage(6, 24, 2, 2),
    Stage(6, 32, 3, 2),
    Stage(6, 64, 4, 2),
    Stage(6, 96, 3, 1),
    Stage(6, 160, 3, 2),
    Stage(6, 320, 1, 1),
)
_STEM, _LAST = 32, 1280


@models.register("mobilenet_v2")
class MobileNetV2(ModelSettings):
    """MobileNetV2 (Sandler et al., arXiv 1801.04381, table 2) with heads.

    A task with a map has a DeepLabV3 pyramid on the 320-channel features, as in section 6.3 of the paper; tasks that
    answer once for the image share the last 1x1 convolution, and each has a linear layer behind the mean.

    Attributes:
        output_stride: The input's size over the features' size, where `first_stride` is 2; the stages that no longer
            halve are dilated.
        first_stride: Step of the first convolution; 1 for small pictures such as 32x32, whose features are then twice
            as large.
        head_channels: Channels of each branch of a task's pyramid.
        rates: Dilations of the pyramid's 3x3 branches; none leaves the 1x1 and the image branch, the paper's choice
            for phones.

    Examples:
        >>> import torch
        >>> net = MobileNetV2(width=0.25, pooled=("scene",)).build({"depth": 1, "scene": 10}).eval()
        >>> {task: tuple(y.shape) for task, y in net(torch.zeros(1, 3, 64, 64)).items()}
        {'depth': (1, 1, 64, 64), 'scene': (1, 10)}
    """

    kind: Literal["mobilenet_v2"] = "mobilenet_v2"
    output_stride: Literal[8, 16, 32] = 16
    first_stride: Literal[1, 2] = 2
    head_channels: int = Field(default=64, ge=1)
    rates: tuple[int, ...] = (6, 12, 18)

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        stages = tuple(stage._replace(channels=self._wide(stage.channels)) for stage in _STAGES)
        stem = rectified(self.in_channels, self._wide(_STEM), 3, stride=self.first_stride)
        last = self._wide(_LAST) if any(task in self.pooled for task in tasks_out) else None
        trunk = MobileNetTrunk(stem, self._wide(_STEM), stages, self.output_stride, last)
        return MultiTaskNet(trunk, {task: self._head(task, n) for task, n in tasks_out.items()}, resize=True)

    def _head(self, task: str, out_channels: int) -> nn.Module:
        if task in self.pooled:
            return nn.Sequential(Level(-1), PooledHead(self._wide(_LAST), out_channels))
        deep = self._wide(_STAGES[-1].channels)
        return nn.Sequential(Level(0), PyramidHead(deep, self._wide(self.head_channels), out_channels, self.rates))


class MobileNetTrunk(nn.Module):
    """The stem, the stages of inverted residuals, and the last 1x1 convolution where it is wanted.

    Args:
        stem: The first convolution.
        channels: Channels it returns.
        stages: The stages.
        output_stride: The input's size over the features' size if the stem halves.
        last: Channels of the last convolution, or None to leave it out.
    """

    def __init__(
        self, stem: nn.Module, channels: int, stages: tuple[Stage, ...], output_stride: int, last: int | None
    ) -> None:
        super().__init__()
        self.stem = stem
        blocks: list[nn.Module] = []
        reached, dilation = 2, 1
        for expansion, out, depth, asked in stages:
            before, stride = dilation, asked
            if asked == 2 and reached == output_stride:
                stride, dilation = 1, dilation * 2
            reached *= stride
            blocks.append(InvertedResidual(channels, out, expansion, stride=stride, dilation=before))
            blocks.extend(InvertedResidual(out, out, expansion, dilation=dilation) for _ in range(depth - 1))
            channels = out
        self.blocks = nn.Sequential(*blocks)
        self.last = None if last is None else rectified(channels, last, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map `[N, in, H, W]` to the stages' features, and behind them those of the last convolution, if any."""
        features: Tensor = self.blocks(self.stem(x))
        return (features,) if self.last is None else (features, self.last(features))


class InvertedResidual(nn.Module):
    """Widen, convolve each channel by itself, narrow without an activation; add the input where the shape stays.

    Args:
        in_channels: Channels in.
        out_channels: Channels out.
        expansion: How many times wider it is inside; 1 leaves the widening out.
        stride: Step of the 3x3 convolution.
        dilation: Its dilation.
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        super().__init__()
        inside = in_channels * expansion
        layers = [rectified(in_channels, inside, 1)] if expansion > 1 else []
        layers.append(rectified(inside, inside, 3, stride=stride, dilation=dilation, groups=inside))
        self.layers = nn.Sequential(*layers, conv_norm(inside, out_channels, 1))
        self.adds = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, H, W]` to `[N, out, H / stride, W / stride]`."""
        changed: Tensor = self.layers(x)
        return x + changed if self.adds else changed


def rectified(
    in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution that keeps the size (divided by `stride`), a batch norm and a ReLU6."""
    return conv_norm(in_channels, out_channels, kernel, stride=stride, dilation=dilation, groups=groups).append(
        nn.ReLU6()
    )
