from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from niwaki.graph import Channels, find_channels, node_macs, planned_size, trace, uncounted


def thin(width: int, hidden: int, stream: int) -> nn.Sequential:
    """A network that can be built at any width: the hand-thinned twin of a cut one."""
    return nn.Sequential(
        nn.Conv2d(3, width, 3, stride=2), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, hidden, 3, groups=1),
        nn.MaxPool2d(2), nn.ConvTranspose2d(hidden, stream, 2, stride=2), nn.Flatten(2), nn.Linear(36, 3),
        nn.Flatten(), nn.Linear(stream * 3, 5),
    )  # fmt: skip


def counted(model: nn.Module, example: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        model.eval()(example)
    return int(counter.get_total_flops()) // 2


def test_the_planned_size_is_that_of_a_network_thinned_by_hand() -> None:
    example = torch.zeros(2, 3, 17, 17)
    channels = find_channels(trace(thin(8, 12, 6), example))
    keep = np.ones(channels.count, dtype=np.bool_)
    for group, stays in zip(channels.groups, (5, 4, 3), strict=True):
        keep[group.classes[stays:]] = False
    hand = thin(5, 4, 3)
    assert planned_size(channels, keep) == (sum(p.numel() for p in hand.parameters()), counted(hand, example))


def test_a_class_that_must_stay_counts_even_when_it_is_asked_away() -> None:
    channels = find_channels(trace(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), torch.zeros(1, 3)))
    stuck = channels.freeze(channels.groups[0].classes, "a wish")
    none = np.zeros(channels.count, dtype=np.bool_)
    assert planned_size(stuck, none) == (26, 20)
    assert planned_size(channels, none) == (2, 0)


class Products(nn.Module):
    """Every operator whose count has a formula of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = (nn.Linear(5, 8) for _ in range(3))
        self.mix = nn.Parameter(torch.randn(8, 6))
        self.bank = nn.Parameter(torch.randn(4, 6))
        self.added = nn.Parameter(torch.randn(4))
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Any:
        y = nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), scale=1.0)
        y = torch.einsum("bsd,de->bse", y, self.mix) @ self.bank.t()
        y = torch.addmm(self.added, y.flatten(0, 1), torch.eye(4))
        return self.head(torch.bmm(y.view(2, 3, 4), y.view(2, 3, 4).transpose(1, 2)) @ y.view(2, 3, 4))


def test_products_of_every_kind_are_counted_as_torch_counts_them() -> None:
    traced = trace(Products(), torch.randn(2, 3, 5))
    assert sum(node_macs(traced.programs[0]).values()) == counted(Products(), torch.randn(2, 3, 5))


def test_products_are_planned_as_they_are_counted(check_cut: Callable[..., Channels]) -> None:
    class Attention(Products):
        def forward(self, x: Tensor) -> Any:
            y = nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), scale=1.0)
            y = torch.einsum("bsd,de->bse", y, self.mix) @ self.bank.t() + self.added
            return self.head(torch.bmm(y, y.transpose(1, 2)) @ y)

    channels = check_cut(Attention(), torch.randn(2, 3, 5))
    assert {group.name: group.size for group in channels.groups} == {"q": 8, "v": 8, "mix": 6, "bank": 4}


class Own(nn.Module):
    """Tensors multiplied with themselves, in every form."""

    def __init__(self) -> None:
        super().__init__()
        self.wide, self.square = nn.Linear(5, 8), nn.Parameter(torch.randn(6, 6))
        self.stack = nn.Parameter(torch.randn(2, 6, 6))
        self.head = nn.Linear(6, 2, bias=False)

    def forward(self, x: Tensor) -> Any:
        y = self.wide(x)
        whole = self.square @ self.square + torch.bmm(self.stack, self.stack).sum(0)
        whole = torch.addmm(whole, self.square, self.square) + torch.addmm(self.square, whole, whole)
        return self.head(whole).sum(0) * (y @ y.transpose(1, 2)).mean()


def test_a_tensor_times_itself_is_planned_as_it_is_counted(check_cut: Callable[..., Channels]) -> None:
    channels = check_cut(Own(), torch.randn(2, 3, 5))
    assert {group.name: group.size for group in channels.groups} == {"wide": 8, "square": 6, "stack": 2}


def test_operators_without_a_count_are_named() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(), nn.MaxPool2d(2), nn.Flatten())
    assert uncounted(trace(model, torch.zeros(1, 3, 4, 4)).programs[0]) == ("batch_norm", "max_pool2d")


@pytest.mark.parametrize("batch", [1, 3])
def test_macs_are_those_of_the_example_as_given(batch: int) -> None:
    program = trace(nn.Conv2d(3, 4, 3, groups=1), torch.zeros(batch, 3, 6, 6)).programs[0]
    assert node_macs(program) == {"conv2d": batch * 4 * 4 * 4 * 3 * 9}
