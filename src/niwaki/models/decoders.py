"""Light heads on several feature maps, the finest first: a feature pyramid, or linear answers that are summed."""

from collections.abc import Sequence

from torch import Tensor, nn

from niwaki.models.blocks import conv_norm_relu, resize_like

__all__ = ["FPNHead", "LinearHead"]


class FPNHead(nn.Module):
    """A feature pyramid (Lin et al., arXiv 1612.03144, figure 3), read at its finest level.

    Each map is brought to `channels` by a 1x1 convolution and added to the coarser one below it, which is resized.

    Args:
        in_channels: Channels of each feature map.
        channels: Channels of the pyramid.
        out_channels: Channels of the answer.
    """

    def __init__(self, in_channels: Sequence[int], channels: int, out_channels: int) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(count, channels, 1) for count in in_channels)
        self.smooth = conv_norm_relu(channels, channels)
        self.answer = nn.Conv2d(channels, out_channels, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features `[N, in_i, h_i, w_i]` to `[N, out, h_0, w_0]`."""
        levels = [lateral(each) for lateral, each in zip(self.laterals, features, strict=True)]
        answer: Tensor = self.answer(self.smooth(_summed(levels)))
        return answer


class LinearHead(nn.Module):
    """A 1x1 convolution on each feature map, the answers resized and summed (Long et al., arXiv 1411.4038, figure 3).

    Args:
        in_channels: Channels of each feature map.
        out_channels: Channels of the answer.
    """

    def __init__(self, in_channels: Sequence[int], out_channels: int) -> None:
        super().__init__()
        self.answers = nn.ModuleList(nn.Conv2d(count, out_channels, 1) for count in in_channels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Map features `[N, in_i, h_i, w_i]` to `[N, out, h_0, w_0]`."""
        return _summed([answer(each) for answer, each in zip(self.answers, features, strict=True)])


def _summed(levels: Sequence[Tensor]) -> Tensor:
    """Sum maps from the coarsest up, each resized to the next finer one."""
    *finer, total = levels
    for level in reversed(finer):
        total = level + (total if total.shape[-2:] == level.shape[-2:] else resize_like(total, level))
    return total
