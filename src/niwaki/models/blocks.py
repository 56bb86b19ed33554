"""The parts ready networks are made of: convolution with norm, residual blocks, and heads for one vector per image."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "Level",
    "PooledHead",
    "conv_norm",
    "conv_norm_relu",
    "conv_relu",
    "residual_stage",
    "resize_like",
]


def conv_norm(
    in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution that keeps the size (divided by `stride`), and a batch norm.

    Args:
        in_channels: Channels in, at least 1.
        out_channels: Channels out, at least 1.
        kernel: Odd kernel size.
        stride: Step of the convolution.
        dilation: Distance between the kernel's taps.
        groups: Groups of the convolution.

    Returns:
        `[N, in, H, W] -> [N, out, ceil(H / stride), ceil(W / stride)]`.
    """
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def conv_norm_relu(
    in_channels: int, out_channels: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Return `conv_norm` with a ReLU behind it, and one group; the other arguments are the same."""
    return conv_norm(in_channels, out_channels, kernel, stride=stride, dilation=dilation).append(nn.ReLU())


def conv_relu(in_channels: int, out_channels: int, kernel: int = 3, *, dilation: int = 1) -> nn.Sequential:
    """Return a convolution with a bias that keeps the size, and a ReLU; the arguments are those of `conv_norm`."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, 1, dilation * (kernel // 2), dilation)
    return nn.Sequential(conv, nn.ReLU())


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """Resize a map bilinearly to another's height and width.

    Args:
        x: `[N, C, h, w]`.
        like: `[..., H, W]`, of which only the size counts.

    Returns:
        `[N, C, H, W]`.
    """
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., arXiv 1512.03385, figure 5 left).

    Args:
        in_channels: Channels in.
        channels: Channels out.
        stride: Step of the first convolution.
        dilations: Dilation of the first and of the second convolution.
    """

    expansion = 1

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        self.conv1 = conv_norm_relu(in_channels, channels, stride=stride, dilation=dilations[0])
        self.conv2 = conv_norm(channels, channels, dilation=dilations[1])
        self.shortcut = _shortcut(in_channels, channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, H, W]` to `[N, channels, H / stride, W / stride]`."""
        summed: Tensor = self.conv2(self.conv1(x)) + self.shortcut(x)
        return F.relu(summed)


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 and a shortcut (the same paper, right), with the stride in the 3x3 convolution.

    Args:
        in_channels: Channels in.
        channels: Channels of the 3x3 convolution; `expansion` times as many come out.
        stride: Step of the 3x3 convolution.
        dilations: Dilation of the 3x3 convolution, first entry; the second has no layer here.
    """

    expansion = 4

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)
    ) -> None:
        super().__init__()
        out_channels = channels * self.expansion
        self.conv1 = conv_norm_relu(in_channels, channels, 1)
        self.conv2 = conv_norm_relu(channels, channels, stride=stride, dilation=dilations[0])
        self.conv3 = conv_norm(channels, out_channels, 1)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, H, W]` to `[N, 4 channels, H / stride, W / stride]`."""
        summed: Tensor = self.conv3(self.conv2(self.conv1(x))) + self.shortcut(x)
        return F.relu(summed)


Block = type[BasicBlock] | type[Bottleneck]


def residual_stage(
    block: Block, in_channels: int, channels: int, depth: int, *, stride: int = 1, dilations: tuple[int, int] = (1, 1)
) -> nn.Sequential:
    """Return `depth` residual blocks, of which the first takes the stride and starts at the old dilation.

    Args:
        block: The kind of block.
        in_channels: Channels in.
        channels: The block's `channels`; `channels * block.expansion` come out.
        depth: Number of blocks, at least 1.
        stride: Step of the first block.
        dilations: Dilation before this stage, and in it.

    Returns:
        `[N, in, H, W] -> [N, channels * expansion, H / stride, W / stride]`.
    """
    before, inside = dilations
    wide = channels * block.expansion
    first = block(in_channels, channels, stride=stride, dilations=(before, inside))
    rest = (block(wide, channels, dilations=(inside, inside)) for _ in range(depth - 1))
    return nn.Sequential(first, *rest)


class PooledHead(nn.Module):
    """Mean over the image and a linear layer: one answer for the whole image.

    Args:
        in_channels: Channels in.
        out_channels: Numbers to answer with.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.answer = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[N, in, H, W]` to `[N, out]`."""
        answer: Tensor = self.answer(self.pool(x).flatten(1))
        return answer


class Level(nn.Module):
    """Takes one of the several feature maps an encoder returned; a head's first module.

    Args:
        index: Which one; -1 is the last.
    """

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return the one feature map."""
        return features[self.index]

    def extra_repr(self) -> str:
        """Return what `print` shows."""
        return str(self.index)


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return conv_norm(in_channels, out_channels, 1, stride=stride)
