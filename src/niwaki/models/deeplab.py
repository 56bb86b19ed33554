"""DeepLabV3 on dilated ResNets, with a small pyramid head for each task."""

from typing import Literal

from pydantic import Field
from torch import Tensor, cat, nn

from niwaki.models.base import ModelSettings, models
from niwaki.models.blocks import (
    BasicBlock,
    Block,
    Bottleneck,
    PooledHead,
    conv_norm_relu,
    residual_stage,
    resize_like,
)
from niwaki.models.multitask import MultiTaskNet

__all__ = ["DeepLab", "DilatedResNet", "PyramidHead"]

_LAYOUTS: dict[int, tuple[Block, tuple[int, ...]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


@models.register("deeplab")
class DeepLab(ModelSettings):
    """DeepLabV3 (Chen et al., arXiv 1706.05587): a dilated ResNet for all tasks, an atrous pyramid for each.

    Attributes:
        resnet: Layers of the ResNet.
        output_stride: The input's size over the features' size; the stages that no longer halve are dilated.
        head_channels: Channels of each branch of a task's pyramid (256 in the paper, where one task is all there is).

    Examples:
        >>> import torch
        >>> net = DeepLab(resnet=18, width=0.125, pooled=("scene",)).build({"depth": 1, "scene": 10}).eval()
        >>> {task: tuple(y.shape) for task, y in net(torch.zeros(2, 3, 64, 64)).items()}
        {'depth': (2, 1, 64, 64), 'scene': (2, 10)}
    """

    kind: Literal["deeplab"] = "deeplab"
    resnet: Literal[18, 34, 50] = 34
    output_stride: Literal[8, 16] = 16
    head_channels: int = Field(default=64, ge=1)

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        block, depths = _LAYOUTS[self.resnet]
        channels = tuple(self._wide(count) for count in (64, 128, 256, 512))
        trunk = DilatedResNet(self.in_channels, block, channels, depths, self.output_stride)
        deep = channels[-1] * block.expansion
        return MultiTaskNet(trunk, {t: self._head(t, deep, n) for t, n in tasks_out.items()}, resize=True)

    def _head(self, task: str, in_channels: int, out_channels: int) -> nn.Module:
        if task in self.pooled:
            return PooledHead(in_channels, out_channels)
        rates = (6, 12, 18) if self.output_stride == 16 else (12, 24, 36)
        return PyramidHead(in_channels, self._wide(self.head_channels), out_channels, rates)


class DilatedResNet(nn.Module):
    """A ResNet without its classifier, whose last stages are dilated instead of strided.

    Args:
        in_channels: Channels of the image.
        block: The residual block.
        channels: Channels of the four stages, before the block's expansion.
        depths: Blocks of the four stages.
        output_stride: 8 or 16.
    """

    def __init__(
        self, in_channels: int, block: Block, channels: tuple[int, ...], depths: tuple[int, ...], output_stride: int
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_norm_relu(in_channels, channels[0], 7, stride=2), nn.MaxPool2d(3, 2, 1))
        stages, inside, reached, dilation = [], channels[0], 4, 1
        for i, (out, depth) in enumerate(zip(channels, depths, strict=True)):
            before, stride = dilation, 1 if i == 0 else 2
            if stride == 2 and reached == output_stride:
                stride, dilation = 1, dilation * 2
            reached *= stride
            stages.append(residual_stage(block, inside, out, depth, stride=stride, dilations=(before, dilation)))
            inside = out * block.expansion
        self.stages = nn.Sequential(*stages)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, H, W]` to `[N, channels[3] * expansion, H / output_stride, W / output_stride]`."""
        features: Tensor = self.stages(self.stem(x))
        return features


class PyramidHead(nn.Module):
    """Atrous spatial pyramid pooling and the answer, at the size of the features.

    The image-level branch has a bias in place of a batch norm, so that a batch of one trains too.

    Args:
        in_channels: Channels of the features.
        channels: Channels of each branch.
        out_channels: Channels of the answer.
        rates: Dilations of the 3x3 branches.
    """

    def __init__(self, in_channels: int, channels: int, out_channels: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([conv_norm_relu(in_channels, channels, 1)])
        self.branches.extend(conv_norm_relu(in_channels, channels, dilation=rate) for rate in rates)
        self.image = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(in_channels, channels, 1), nn.ReLU())
        self.project = conv_norm_relu(channels * (len(rates) + 2), channels, 1)
        self.answer = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, h, w]` to `[N, out, h, w]`."""
        pyramid = [branch(x) for branch in self.branches]
        image = resize_like(self.image(x), x)
        answer: Tensor = self.answer(self.project(cat([*pyramid, image], 1)))
        return answer
