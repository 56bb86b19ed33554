"""SegNet with task attention (MTAN): shared features, of which every task picks its own at each stage."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

from torch import Size, Tensor, cat, nn
from torch.nn import functional as F

from niwaki.models.base import models
from niwaki.models.blocks import PooledHead, conv_norm, conv_norm_relu, resize_like
from niwaki.models.staged import StagedSettings

__all__ = ["AttentionPath", "MTANNet", "SegNetMTAN", "attention_mask"]


@models.register("segnet_mtan")
class SegNetMTAN(StagedSettings):
    """Multi-task attention network on SegNet (Liu, Johns and Davison, arXiv 1803.10704, section 3 and figure 2).

    One SegNet serves all tasks. In each stage a task has an attention module: from the features after the stage's first
    convolution and from what the task carries on, two 1x1 convolutions make a mask in [0, 1], with which the stage's
    last features are multiplied. What carries the masked features on to the next stage is shared by the tasks.

    Examples:
        >>> import torch
        >>> net = SegNetMTAN(width=0.125).build({"segmentation": 13, "depth": 1, "normals": 3})
        >>> net(torch.zeros(1, 3, 32, 64))["normals"].shape
        torch.Size([1, 3, 32, 64])
    """

    kind: Literal["segnet_mtan"] = "segnet_mtan"

    def _assemble(self, tasks_out: dict[str, int]) -> nn.Module:
        channels = self._counts()
        paths = {task: AttentionPath(channels, self._answer(task, channels[0], n)) for task, n in tasks_out.items()}
        return MTANNet(self.in_channels, channels, self.depths, paths)

    def _answer(self, task: str, inside: int, out: int) -> nn.Module:
        if task in self.pooled:
            return PooledHead(inside, out)
        return nn.Sequential(nn.Conv2d(inside, inside, 3, padding=1), nn.Conv2d(inside, out, 1))


class Tap(NamedTuple):
    """What one stage offers: the features a mask is made of, and those it is laid on."""

    early: Tensor
    late: Tensor


def attention_mask(in_channels: int, out_channels: int) -> nn.Sequential:
    """Return an attention module: `sigmoid(norm(conv(relu(norm(conv(x))))))` with 1x1 convolutions.

    Args:
        in_channels: Channels of the features it looks at.
        out_channels: Channels of the features it masks.

    Returns:
        `[N, in, H, W] -> [N, out, H, W]` in [0, 1].
    """
    first = conv_norm_relu(in_channels, out_channels, 1)
    return nn.Sequential(first, conv_norm(out_channels, out_channels, 1), nn.Sigmoid())


class AttentionPath(nn.Module):
    """One task's masks, on the way down and on the way up, and its answer.

    Args:
        channels: Channels of the stages.
        answer: What turns the last masked features, of `channels[0]` channels, into the task's output.
    """

    def __init__(self, channels: tuple[int, ...], answer: nn.Module) -> None:
        super().__init__()
        carried = (0, *channels[1:])
        self.down = nn.ModuleList(attention_mask(c + extra, c) for c, extra in zip(channels, carried, strict=True))
        self.up = nn.ModuleList(attention_mask(inside + out, out) for inside, out in _upwards(channels))
        self.answer = answer

    def forward(self, down: Iterable[tuple[Tap, nn.Module]], up: Iterable[tuple[Tap, nn.Module]]) -> Tensor:
        """Pick features stage by stage.

        Args:
            down: Each encoder stage's features, and what carries the masked ones on (`f` in the paper).
            up: The same for the decoder, deepest stage first.

        Returns:
            The task's answer.
        """
        carried: Tensor | None = None
        for mask, (tap, carry) in zip(self.down, down, strict=True):
            seen = tap.early if carried is None else cat([tap.early, carried], 1)
            carried = F.max_pool2d(carry(mask(seen) * tap.late), 2)
        assert carried is not None
        for mask, (tap, carry) in zip(self.up, up, strict=True):
            carried = carry(resize_like(carried, tap.early))
            carried = mask(cat([tap.early, carried], 1)) * tap.late
        answer: Tensor = self.answer(carried)
        return answer


class MTANNet(nn.Module):
    """The shared SegNet, what carries masked features on, and a path for each task.

    Args:
        in_channels: Channels of the image.
        channels: Channels of the stages.
        depths: Convolutions of each stage.
        paths: Task name to its path.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, ...], depths: tuple[int, ...], paths: dict[str, AttentionPath]
    ) -> None:
        super().__init__()
        inwards, upwards = pairwise((in_channels, *channels)), _upwards(channels)
        self.encoder = nn.ModuleList(EncoderStage(a, b, n) for (a, b), n in zip(inwards, depths, strict=True))
        self.decoder = nn.ModuleList(_convolutions(a, b, n) for (a, b), n in zip(upwards, depths[::-1], strict=True))
        self.carry_down = nn.ModuleList(conv_norm_relu(a, b) for a, b in pairwise((*channels, channels[-1])))
        self.carry_up = nn.ModuleList(conv_norm_relu(a, b) for a, b in upwards)
        self.paths = nn.ModuleDict(paths)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The names of the tasks, in order."""
        return tuple(self.paths)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Answer every task.

        Args:
            x: `[N, in_channels, H, W]`, H and W at least `2^stages`.

        Returns:
            Task name to `[N, channels, H, W]`, or `[N, channels]` where the task is pooled.
        """
        down, up = self._features(x)
        down_ways, up_ways = _join(down, self.carry_down), _join(up, self.carry_up)
        return {task: path(down_ways, up_ways) for task, path in self.paths.items()}

    def _features(self, x: Tensor) -> tuple[list[Tap], list[Tap]]:
        down: list[Tap] = []
        pools: list[tuple[Tensor, Size]] = []
        for stage in self.encoder:
            down.append(stage(x))
            x, index = F.max_pool2d(down[-1].late, 2, return_indices=True)
            pools.append((index, down[-1].late.shape[-2:]))
        up: list[Tap] = []
        for stage, (index, size) in zip(self.decoder, pools[::-1], strict=True):
            early = F.max_unpool2d(x, index, (2, 2), output_size=size)
            x = stage(early)
            up.append(Tap(early, x))
        return down, up


class EncoderStage(nn.Module):
    """A stage's convolutions, of which the first one's features are offered too.

    Args:
        in_channels: Channels in.
        out_channels: Channels of each convolution.
        depth: Convolutions.
    """

    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__()
        self.first = conv_norm_relu(in_channels, out_channels)
        self.rest = _convolutions(out_channels, out_channels, depth - 1)

    def forward(self, x: Tensor) -> Tap:
        """Map `[N, in, H, W]` to two maps of `[N, out, H, W]`."""
        early = self.first(x)
        return Tap(early, self.rest(early))


def _upwards(channels: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return channels into and out of each decoder stage, deepest first."""
    return list(zip(channels[::-1], (*channels[-2::-1], channels[0]), strict=True))


def _convolutions(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    counts = (in_channels, *(out_channels,) * depth)
    return nn.Sequential(*(conv_norm_relu(a, b) for a, b in pairwise(counts)))


def _join(taps: list[Tap], carries: nn.ModuleList) -> list[tuple[Tap, nn.Module]]:
    return list(zip(taps, carries, strict=True))
