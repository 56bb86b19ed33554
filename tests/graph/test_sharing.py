"""Several outputs, several routes, tied and raw parameters."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.contract import Example
from niwaki.graph import Channels, find_channels, trace

Check = Callable[..., Channels]
IMAGE = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


def sizes(channels: Channels) -> dict[str, int]:
    return {group.name: group.size for group in channels.groups}


def conv(inputs: int, outputs: int, kernel: int = 3, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False, groups=groups)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = conv(3, 8)
        self.near, self.far = (nn.Sequential(conv(8, 6), nn.Conv2d(6, 1 + i, 1)) for i in range(2))

    def forward(self, x: Tensor) -> Any:
        x = self.body(x)
        return {"near": self.near(x), "far": F.interpolate(self.far(x), scale_factor=2.0, mode="bilinear")}


def test_heads_protect_their_outputs_without_being_named(check_cut: Check) -> None:
    channels = check_cut(Heads(), IMAGE)
    assert sizes(channels) == {"body.0": 8, "near.0.0": 6, "far.0.0": 6}
    assert channels.frozen == {"near.1.weight": "it has one channel", "far.1.weight": "frozen by the output 'far'"}


class Routed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(2))
        self.heads = nn.ModuleList(nn.Conv2d(8, 2, 1) for _ in range(2))

    def forward(self, x: Tensor, task: int) -> Any:
        return self.heads[task](F.relu(self.norms[task](self.body(x))))


def test_routes_share_the_units_of_what_they_share(check_cut: Check) -> None:
    examples = [Example(IMAGE.double(), task=0), Example(IMAGE.double(), task=1)]
    channels = check_cut(Routed(), examples)
    assert sizes(channels) == {"body": 8}
    tensors = {piece.tensor for piece in channels.groups[0].slices}
    assert {"norms.0.weight", "norms.1.running_mean", "heads.0.weight", "heads.1.weight"} <= tensors
    assert channels.traced.tasks == ("output0", "output1")


def test_a_route_without_an_example_keeps_what_only_it_reaches() -> None:
    channels = find_channels(trace(Routed(), Example(IMAGE, task=0)))
    assert "norms.1.weight" not in {piece.tensor for piece in channels.groups[0].slices}
    assert "2 of 2 frozen by the examples, none of which reaches it" in channels.why("heads.1.weight")


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.again = conv(3, 8), nn.Conv2d(8, 8, 3, padding=1)
        self.once = nn.Conv2d(8, 8, 3, padding=1)
        self.once.weight = self.again.weight
        self.head = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Any:
        return self.head(F.relu(self.once(F.relu(self.again(self.stem(x))))))


def test_tied_weights_have_one_name_and_tie_their_ends(check_cut: Check) -> None:
    channels = check_cut(Tied(), IMAGE)
    assert channels.traced.names["once.weight"] == "again.weight"
    assert "once.weight" not in channels.tensors
    assert sizes(channels) == {"stem.0": 8}


class Raw(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.filters = nn.Parameter(torch.randn(8, 3, 3, 3))
        self.scale = nn.Parameter(torch.randn(1, 8, 1, 1))
        self.bank = nn.Parameter(torch.randn(2, 8, 1, 1))
        self.register_buffer("shift", torch.randn(8, 1, 1))

    def forward(self, x: Tensor) -> Any:
        x = F.conv2d(x, self.filters, padding=1) * self.scale + self.get_buffer("shift")
        return F.conv2d(F.relu(x), self.bank)


def test_raw_parameters_and_functional_convolutions_are_seen(check_cut: Check) -> None:
    channels = check_cut(Raw(), IMAGE)
    assert sizes(channels) == {"filters": 8}
    pieces = {(each.tensor, each.dim) for each in channels.groups[0].slices}
    assert pieces == {("filters", 0), ("scale", 1), ("bank", 1), ("shift", 0)}
