"""What size arguments become after a cut, and which attributes explain them."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from niwaki.graph import CallWatch, State, integers, trace
from niwaki.graph.origins import Attribute, OriginInt, evaluate, mark_attributes
from niwaki.surgery.attributes import solve
from niwaki.surgery.sizes import size_arguments
from niwaki.surgery.tensors import take

GONE = [1, 6]


class Wrap(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first = nn.Linear(3, 8)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.act(self.first(x))
        return y.sum()


L = np.arange(1, 9)
ROW = (None, L)

CASES: list[tuple[str, Callable[[Tensor], Tensor], list[int], list[int], State]] = [
    ("view", lambda y: y.view(4, 8, 1), [4, 8, 1], [4, 6, 1], (None, L, None)),
    ("reshape", lambda y: y.reshape(4, -1, 1), [4, -1, 1], [4, -1, 1], (None, L, None)),
    ("expand", lambda y: y[:, None].expand(4, 5, 8), [4, 5, 8], [4, 5, 6], (None, None, L)),
    ("slice", lambda y: y[:, 2:7], [1, 2, 7], [1, 1, 5], (None, L[2:7])),
    ("slice", lambda y: y[:, -3:], [1, -3, 2**63 - 1], [1, -2, 2**63 - 1], (None, L[-3:])),
    ("slice", lambda y: torch.ops.aten.slice(y, 1, 0, 100), [1, 0, 100], [1, 0, 98], ROW),
    ("slice", lambda y: y[:, 1:8:2], [1, 1, 8, 2], [1, -1, -1, 2], (None, L[1:8:2])),
    ("select", lambda y: y[:, 3], [1, 3], [1, 2], (None,)),
    ("select", lambda y: y[:, -3], [1, -3], [1, -2], (None,)),
    ("narrow", lambda y: y.narrow(1, 0, 5), [1, 0, 5], [1, 0, 4], (None, L[:5])),
    ("split_with_sizes", lambda y: y.split([3, 5], 1)[0], [3, 5, 1], [2, 4, 1], [(None, L[:3]), (None, L[3:])]),
    ("split", lambda y: y.split(4, 1)[0], [4, 1], [3, 1], [(None, L[:4]), (None, L[4:])]),
    ("split", lambda y: y.split(7, 1)[0], [7, 1], [5, 1], [(None, L[:7]), (None, L[7:])]),
    ("split", lambda y: y.split(3, 1)[0], [3, 1], [-1, 1], [(None, L[:3]), (None, L[3:6]), (None, L[6:])]),
    ("unflatten", lambda y: y.unflatten(1, (8, 1)), [1, 8, 1], [1, 6, 1], (None, L, None)),
    ("new_zeros", lambda y: y + y.new_zeros(4, 8), [4, 8], [4, 6], ROW),
    ("zeros", lambda y: y + torch.zeros(4, 8), [4, 8], [4, 6], ROW),
    ("repeat", lambda y: y[:, :1].repeat(1, 8), [1, 8], [1, 6], ROW),
    ("repeat", lambda y: y.repeat(1, 2), [1, 2], [1, 2], (None, np.concatenate([L, L]))),
    ("layer_norm", lambda y: nn.functional.layer_norm(y, (8,)), [8], [6], ROW),
    ("group_norm", lambda y: nn.functional.group_norm(y, 8), [8], [6], ROW),
    ("group_norm", lambda y: nn.functional.group_norm(y, 2), [2], [2], ROW),
    ("relu", torch.relu, [], [], ROW),
]


@pytest.mark.parametrize(
    ("operator", "act", "old", "new", "state"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_size_arguments(
    operator: str, act: Callable[[Tensor], Tensor], old: list[int], new: list[int], state: State
) -> None:
    """Channels 1 and 6 of 8 go; -1 stands for a size that no number can be, where it was none before."""
    program = next(each for each in trace(Wrap(act), torch.randn(4, 3)).programs if not each.training)
    removed = np.isin(np.arange(9), L[GONE])
    (node,) = [each for each in program if f".{operator}." in str(each.target) and integers(each.args) == old]
    arguments = size_arguments(node, {"linear": ROW, node.name: state}, removed)
    if not old or old == [2]:
        assert [each.old for each in arguments] in (old, [])
        return
    assert [each.old for each in arguments] == old
    never = [None if was != -1 and number == -1 else number for was, number in zip(old, new, strict=True)]
    assert [each.new for each in arguments] == never


def test_integers_remember_their_attribute_through_arithmetic() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.width, self.shape, self.flag, self.name = 12, (3, 4), True, "x"

    holder = Holder()
    mark_attributes(holder)
    computed = (holder.width * 2 + 1) // holder.shape[1] - (5 % holder.shape[0])
    assert isinstance(computed, OriginInt)
    assert computed == 25 // 4 - 2
    now = {Attribute("", "width"): 6, Attribute("", "shape", 0): 3, Attribute("", "shape", 1): 2}
    assert evaluate(computed.origin, now) == 13 // 2 - 2
    assert holder.flag is True
    assert not isinstance(holder.width * 0.5, int)
    assert torch.zeros(2, holder.width).shape == (2, 12)
    assert evaluate(("//", 4, Attribute("", "z")), {Attribute("", "z"): 0}) is None


def test_the_watch_writes_down_calls_in_order() -> None:
    with CallWatch() as watch:
        torch.zeros(2, 6).view(3, 4)[:, 1:3].sum(1)
    assert [(call.function, call.integers) for call in watch.calls] == [
        ("zeros", (2, 6)),
        ("view", (3, 4)),
        ("__getitem__", (1, 3)),
        ("sum", (1,)),
    ]


def test_demands_are_solved_by_sizes_before_counts() -> None:
    width, heads, bound = Attribute("", "width"), Attribute("", "num_heads"), Attribute("", "bound")
    values = {width: 16, heads: 16, bound: 4}
    assert solve([(("//", width, heads), 3)], {width: 16, heads: 4}) == {width: 12}
    assert solve([(width, 8), (bound, 2)], values) == {width: 8, bound: 2}
    assert solve([(("*", 2, bound), 6)], values) == {bound: 3}
    assert solve([(("+", 1, ("*", 2, bound)), 4)], values) == {}, "no integer meets it"
    assert solve([(width, 8), (width, 9)], values) == {width: 8}, "no value serves both: the proof sees it"


def test_take_keeps_the_memory_format() -> None:
    x = torch.randn(4, 3, 2, 2)
    assert take(x, {0: [1]}).is_contiguous()
    last = x.to(memory_format=torch.channels_last)
    cut = take(last, {0: [1], 1: [0, 2]})
    assert torch.equal(cut, x[[0, 2, 3]][:, [1]])
    assert take(last, {0: [1]}).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", [(1030, 1021), (3, 700, 600), (1100, 120, 3, 3)])
def test_large_tensors_are_taken_in_pieces(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape)
    gone = {dim: np.flatnonzero(np.random.default_rng(dim).random(size) < 0.4) for dim, size in enumerate(shape[:2])}
    expected = x
    for dim, positions in gone.items():
        stays = [i for i in range(shape[dim]) if i not in positions]
        expected = expected.index_select(dim, torch.tensor(stays))
    assert torch.equal(take(x, gone), expected)
    assert torch.equal(take(x, {dim: tuple(positions.tolist()) for dim, positions in gone.items()}), expected)
