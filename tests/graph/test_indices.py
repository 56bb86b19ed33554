"""Indices that are buffers: each position goes by itself, what it selects from stays, and sizes are foreseen."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki.graph import drawn_from_banks, find_channels, planned_size, trace


class Picks(nn.Module):
    """Channels picked by a buffer, by one of two operators."""

    index: Tensor

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.first, self.norm, self.last = nn.Conv2d(3, 6, 1), nn.BatchNorm2d(8), nn.Conv2d(8, 2, 1)
        self.register_buffer("index", torch.tensor([5, 1, 3, 1, 0, 2, 4, 1]))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        y = y[:, self.index] if self.how == "index" else y.index_select(1, self.index)
        answer: Tensor = self.last(torch.relu(self.norm(y)))
        return answer


@pytest.mark.parametrize("how", ["index", "index_select"])
def test_positions_of_an_index_are_channels_of_their_own(how: str) -> None:
    channels = find_channels(trace(Picks(how), torch.zeros(1, 3, 4, 4)))
    (group,) = [each for each in channels.groups if each.reason is None]
    places = {(piece.tensor, piece.dim) for piece in group.slices}
    assert ("index", 0) in places
    assert ("last.weight", 1) in places
    assert ("first.weight", 0) not in places
    assert group.size == 8
    assert "index" in channels.why("first.weight")


def test_a_table_that_is_looked_up_by_position_stays_frozen() -> None:
    class Biased(nn.Module):
        """As windows of attention do it."""

        index: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.table, self.width = nn.Parameter(torch.randn(7, 2)), nn.Linear(8, 8)
            self.register_buffer("index", torch.tensor([0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6]))

        def forward(self, x: Tensor) -> Tensor:
            bias = self.table[self.index].view(4, 4, 2).permute(2, 0, 1)
            y = self.width(x).view(1, 4, 2, 4).transpose(1, 2)
            answer: Tensor = torch.softmax(y @ y.transpose(2, 3) + bias, -1) @ y
            return answer

    channels = find_channels(trace(Biased(), torch.randn(1, 4, 8)))
    assert all(
        group.reason is not None or not {"table", "index"} & {piece.tensor for piece in group.slices}
        for group in channels.groups
    )


class Banked(nn.Module):
    """Two layers of one bank, written out: one gathers weights, one computes rows once and gathers outputs."""

    index: Tensor
    rows: Tensor
    place: Tensor
    inputs: Tensor

    def __init__(self, first: list[int], second: list[int]) -> None:
        super().__init__()
        self.bank = nn.Parameter(torch.randn(6, 4, 1, 1))
        self.scale, self.other = nn.Parameter(torch.randn(len(first))), nn.Parameter(torch.randn(len(second)))
        self.heads = nn.ModuleList([nn.Conv2d(len(first), 1, 1), nn.Conv2d(len(second), 1, 1)])
        rows, place = torch.unique(torch.tensor(second), return_inverse=True)
        for name, index in (("index", torch.tensor(first)), ("rows", rows), ("place", place)):
            self.register_buffer(name, index)
        self.register_buffer("inputs", torch.arange(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        weight = self.bank.index_select(0, self.index).index_select(1, self.inputs)
        one = nn.functional.conv2d(x, weight * self.scale.reshape(-1, 1, 1, 1))
        rows = self.bank.index_select(0, self.rows).index_select(1, self.inputs)
        other = nn.functional.conv2d(x, rows).index_select(1, self.place) * self.other.reshape(-1, 1, 1)
        return self.heads[0](one), self.heads[1](other)


@given(
    first=st.lists(st.integers(0, 5), min_size=2, max_size=6, unique=True),
    second=st.lists(st.integers(0, 5), min_size=3, max_size=8).filter(lambda rows: 1 < len(set(rows)) < len(rows)),
    seed=st.integers(0, 99),
)
def test_a_row_counts_while_any_position_draws_it(first: list[int], second: list[int], seed: int) -> None:
    channels = find_channels(trace(Banked(first, second), torch.zeros(1, 4, 5, 5)))
    chance = np.random.default_rng(seed)
    keep = np.ones(channels.count, dtype=np.bool_)
    stays = {}
    for name in ("index", "place"):
        classes = channels.tensors[name][0]
        assert classes is not None
        stays[name] = chance.random(classes.size) < 0.6
        stays[name][0] = True
        keep[classes[~stays[name]]] = False
    left = [row for row, stay in zip(first, stays["index"], strict=True) if stay]
    right = [row for row, stay in zip(second, stays["place"], strict=True) if stay]
    rows, columns = drawn_from_banks(channels)["bank"]
    assert (rows.count(keep), columns.count(keep)) == (len({*left, *right}), 4)
    params, macs = planned_size(channels, keep)
    assert params == len({*left, *right}) * 4 + len(left) + len(right) + (len(left) + 1) + (len(right) + 1)
    assert macs == 25 * (4 * len(left) + 4 * len(set(right)) + len(left) + len(right))
