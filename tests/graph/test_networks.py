"""Known networks: the classes and groups they must have, and cuts that give the silenced model's answers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.graph import Channels, find_channels, trace

Check = Callable[..., Channels]
IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def sizes(channels: Channels) -> dict[str, int]:
    return {group.name: group.size for group in channels.groups}


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, groups=groups)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Basic(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(width, width)
        self.second = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Any:
        return F.relu_(x + self.second(self.first(x)))


class ResNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.one, self.two = Basic(8), Basic(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Any:
        x = self.two(self.one(self.stem(x)))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


def test_a_residual_stream_is_one_group_and_inner_widths_are_free(check_cut: Check) -> None:
    channels = check_cut(ResNet(), IMAGE)
    assert sizes(channels) == {"stem.0": 8, "one.first.0": 8, "two.first.0": 8}
    assert channels.frozen == {"head.weight": "frozen by the output 'output'"}
    stream = {(piece.tensor, piece.dim) for piece in channels.groups[0].slices}
    assert ("two.second.0.weight", 0) in stream
    assert ("head.weight", 1) in stream
    assert ("two.first.0.weight", 0) not in stream


class DenseNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.layers = nn.ModuleList(conv(6 + 4 * i, 4) for i in range(3))
        self.norm = nn.BatchNorm2d(18)
        self.head = nn.Conv2d(18, 2, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.head(self.norm(x))


def test_concatenated_layers_are_one_group_with_a_stratum_for_each(check_cut: Check) -> None:
    channels = check_cut(DenseNet(), IMAGE)
    assert sizes(channels) == {"stem.0": 18}
    assert np.bincount(channels.groups[0].strata).tolist() == [6, 4, 4, 4]


class MobileNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.expand = conv(8, 24, 1)
        self.depthwise = conv(24, 24, groups=24)
        self.squeeze, self.excite = nn.Conv2d(24, 6, 1), nn.Conv2d(6, 24, 1)
        self.project = nn.Sequential(nn.Conv2d(24, 8, 1, bias=False), nn.BatchNorm2d(8))
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        y = self.depthwise(self.expand(x))
        gate = self.excite(F.relu(self.squeeze(F.adaptive_avg_pool2d(y, 1))))
        return self.head(x + self.project(y * torch.sigmoid(gate)))


def test_depthwise_and_squeeze_excite_follow_the_expansion(check_cut: Check) -> None:
    channels = check_cut(MobileNet(), IMAGE)
    assert sizes(channels) == {"stem.0": 8, "expand.0": 24, "squeeze": 6}
    pieces = {(piece.tensor, piece.dim) for piece in channels.groups[1].slices}
    assert {("depthwise.0.weight", 0), ("excite.weight", 0), ("squeeze.weight", 1)} <= pieces


def test_depthwise_with_a_multiplier_goes_by_whole_groups(check_cut: Check) -> None:
    model = nn.Sequential(conv(3, 6), nn.Conv2d(6, 18, 3, groups=6, padding=1), nn.ReLU(), nn.Conv2d(18, 2, 1))
    channels = check_cut(model, IMAGE)
    assert sizes(channels) == {"0.0": 6}
    piece = next(each for each in channels.groups[0].slices if each.tensor == "1.weight")
    assert piece.positions[2] == (6, 7, 8)


def test_every_group_of_a_grouped_convolution_keeps_the_same_positions(check_cut: Check) -> None:
    model = nn.Sequential(conv(3, 12), conv(12, 8, groups=2), nn.Conv2d(8, 2, 1))
    channels = check_cut(model, IMAGE)
    assert sizes(channels) == {"0.0": 6, "1.0": 4}
    pieces = {each.tensor: each.positions for each in channels.groups[0].slices}
    assert pieces["0.0.weight"][1] == (1, 7)
    assert pieces["1.0.weight"][1] == (1,)


class SegNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.deep = conv(3, 8), conv(8, 12)
        self.up = conv(12, 12)
        self.back = conv(12, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Any:
        x, first = F.max_pool2d(self.down(x), 2, return_indices=True)
        x, second = F.max_pool2d(self.deep(x), 2, return_indices=True)
        x = self.up(F.max_unpool2d(x, second, [2, 2]))
        return self.head(F.max_unpool2d(self.back(x), first, [2, 2]))


def test_pool_indices_tie_the_decoder_to_the_encoder(check_cut: Check) -> None:
    channels = check_cut(SegNet(), IMAGE)
    assert sizes(channels) == {"down.0": 8, "deep.0": 12, "up.0": 12}
    tied = {(piece.tensor, piece.dim) for piece in channels.groups[0].slices}
    assert ("back.0.weight", 0) in tied


class Shuffled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.after = conv(3, 8), conv(8, 8)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return self.head(self.after(x))


def test_a_shuffle_in_python_pairs_the_groups(check_cut: Check) -> None:
    channels = check_cut(Shuffled(), IMAGE)
    assert sizes(channels) == {"stem.0": 4, "after.0": 8}
    assert channels.shuffles == ()
    pieces = {each.tensor: each.positions for each in channels.groups[0].slices}
    assert pieces["stem.0.weight"][1] == (1, 5)
    assert pieces["after.0.weight"][1] == (2, 3)


def test_a_shuffle_may_be_a_permutation_of_single_channels() -> None:
    channels = find_channels(trace(Shuffled(), IMAGE), permutations=True)
    assert sizes(channels) == {"stem.0": 8, "after.0": 8}
    assert channels.shuffles == ("view_1",)
    pieces = {each.tensor: each.positions for each in channels.groups[0].slices}
    order = torch.arange(8).view(2, 4).t().reshape(-1)
    assert [int(order[at]) for (at,) in pieces["after.0.weight"]] == list(range(8))


def test_the_shuffle_operator_is_read_like_the_views(check_cut: Check) -> None:
    model = nn.Sequential(conv(3, 8), nn.ChannelShuffle(2), conv(8, 8), nn.Conv2d(8, 2, 1))
    assert sizes(check_cut(model, IMAGE)) == {"0.0": 4, "2.0": 8}
    assert sizes(find_channels(trace(model, IMAGE.double()), permutations=True)) == {"0.0": 8, "2.0": 8}


def test_pixel_shuffle_takes_the_channels_of_one_pixel_together(check_cut: Check) -> None:
    model = nn.Sequential(conv(3, 24), nn.PixelShuffle(2), conv(6, 4), nn.PixelUnshuffle(2), nn.Conv2d(16, 2, 1))
    channels = check_cut(model, IMAGE)
    assert sizes(channels) == {"0.0": 6, "2.0": 4}
    pieces = {each.tensor: each.positions for each in channels.groups[0].slices}
    assert pieces["0.0.weight"][1] == (4, 5, 6, 7)
    assert pieces["2.0.weight"][1] == (1,)


class Flattened(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 6)
        self.hidden, self.head = nn.Linear(6 * 4 * 4, 10), nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Any:
        x = F.max_pool2d(self.stem(x), 4)
        return self.head(torch.relu(self.hidden(x.reshape(x.shape[0], -1))))


def test_a_flattened_channel_is_as_many_inputs_as_it_has_pixels(check_cut: Check) -> None:
    channels = check_cut(Flattened(), IMAGE)
    assert sizes(channels) == {"stem.0": 6, "hidden": 10}
    pieces = {each.tensor: each.positions for each in channels.groups[0].slices}
    assert pieces["hidden.weight"][1] == tuple(range(16, 32))


class Gated(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.stem = conv(3, 16)
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        if self.how == "glu":
            return self.head(F.glu(x, 1))
        if self.how == "slice":
            half = x.shape[1] // 2
            first, second = x[:, :half], x[:, half:]
        else:
            first, second = x.chunk(2, 1)
        return self.head(first * torch.sigmoid(second))


def test_halves_that_gate_one_another_go_in_pairs(check_cut: Check) -> None:
    for how in ("chunk", "glu", "slice"):
        channels = check_cut(Gated(how), IMAGE)
        assert sizes(channels) == {"stem.0": 8}
        assert channels.equal_chunks == []  # a pair loses one on each side


class Halved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = conv(3, 16), conv(8, 6), conv(8, 4)
        self.head = nn.Conv2d(10, 2, 1)

    def forward(self, x: Tensor) -> Any:
        first, second = self.stem(x).chunk(2, 1)
        return self.head(torch.cat([self.left(first), self.right(second)], 1))


def test_halves_with_different_readers_must_keep_equal_numbers(check_cut: Check) -> None:
    channels = check_cut(Halved(), IMAGE)
    assert sizes(channels) == {"stem.0": 16, "left.0": 10}
    pieces = channels.equal_chunks
    assert [[len(piece) for piece in each] for each in pieces] == [[8, 8]]
    assert np.concatenate(pieces[0]).tolist() == channels.groups[0].classes.tolist()
    assert np.bincount(channels.groups[0].strata).tolist() == [8, 8]


class Upsampled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 8)
        self.up = nn.ConvTranspose2d(8, 6, 2, stride=2)
        self.each = nn.ConvTranspose2d(6, 6, 2, stride=2, groups=6)
        self.norm, self.head = nn.GroupNorm(1, 6), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Any:
        return self.head(self.each(self.up(self.stem(x))))


def test_transposed_convolutions_swap_the_dimensions_of_their_weight(check_cut: Check) -> None:
    channels = check_cut(Upsampled(), IMAGE)
    assert sizes(channels) == {"stem.0": 8, "up": 6}
    pieces = {(each.tensor, each.dim) for each in channels.groups[1].slices}
    assert {("up.weight", 1), ("each.weight", 0), ("head.weight", 1)} <= pieces


class Unknown(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.free, self.head = conv(3, 8), conv(8, 6), nn.Conv2d(6, 2, 1)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        return self.head(self.free(torch.fft.ifft2(torch.fft.fft2(x)).real))


def test_an_operator_without_a_rule_freezes_what_it_reads_and_is_named(check_cut: Check) -> None:
    channels = check_cut(Unknown(), IMAGE)
    assert sizes(channels) == {"free.0": 6}
    first = channels.unknown[0]
    assert (first.operator, first.module) == ("aten.fft_fft2.default", "")
    assert "stem.0.weight" in first.tensors
    assert "free.0.weight" not in first.tensors
    assert "aten.fft_fft2.default" in channels.frozen["stem.0.weight"]
    assert "which has no rule" in channels.why("stem.1.running_mean")
