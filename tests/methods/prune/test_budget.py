"""Budgets against an independent size function; the messages speak the user's terms."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import BudgetError
from niwaki.graph import Channels
from niwaki.methods.prune.allocation import Allocation, allocate
from niwaki.methods.prune.budget import Counts, Target, meet
from niwaki.methods.prune.strata import Rules, read_layout
from niwaki.settings import Budget

Make = Callable[..., Channels]


def chain_of_layers(make_channels: Make, sizes: list[int], round_to: int) -> Allocation:
    """Layers one after the other: group i is the output of layer i and the input of layer i + 1."""
    shapes = {f"w{i}": (b, a) for i, (a, b) in enumerate(zip([3, *sizes], [*sizes, 5], strict=True))}
    groups = [
        {(f"w{i}", 0): [[j] for j in range(n)], (f"w{i + 1}", 1): [[j] for j in range(n)]} for i, n in enumerate(sizes)
    ]
    channels = make_channels(groups, shapes)
    layout = read_layout(channels, Rules(round_to, round_to, shapes))
    return allocate(layout, np.zeros(len(channels.removable)))


def params(counts: Counts) -> int:
    widths = [3, *(count for block in counts for count in block.values()), 5]
    return sum(a * b for a, b in pairwise(widths))


@given(
    sizes=st.lists(st.integers(2, 60), min_size=1, max_size=6),
    round_to=st.sampled_from([1, 2, 4, 8]),
    share=st.floats(0.02, 1.0),
)
def test_met_to_within_one_rounding_step(make_channels: Make, sizes: list[int], round_to: int, share: float) -> None:
    allocation = chain_of_layers(make_channels, sizes, round_to)
    dense = params(allocation.counts(1.0))
    target = Target(Budget(params=share), dense)
    smallest = params(allocation.counts(0.0))
    if smallest > target.allowed:
        with pytest.raises(BudgetError, match="out of reach"):
            meet(allocation, params, target)
        return
    counts = meet(allocation, params, target)
    assert params(counts) <= share * dense
    if counts == allocation.counts(1.0):
        return
    for i, (block, size) in enumerate(zip(counts, sizes, strict=True)):
        width = block[i]
        step = width + round_to if width + round_to <= size - size % round_to else size
        raised = params([*counts[:i], {i: step}, *counts[i + 1 :]])
        others = [other[j] / n for j, (other, n) in enumerate(zip(counts, sizes, strict=True)) if j != i]
        one_step_ahead = others and width / size > min(others)
        assert step == width or raised > share * dense or one_step_ahead, "a group that lies behind could take a step"


@pytest.mark.parametrize(("share", "expected"), [(0.5, [16, 32, 64]), (0.75, [24, 48, 96]), (1.0, [32, 64, 128])])
def test_channels_shrink_uniformly(make_channels: Make, share: float, expected: list[int]) -> None:
    allocation = chain_of_layers(make_channels, [32, 64, 128], 8)
    counts = meet(allocation, allocation.free_channels, Target(Budget(channels=share), 224))
    assert [count for block in counts for count in block.values()] == expected


def test_out_of_reach_names_the_smallest_reachable(make_channels: Make) -> None:
    allocation = chain_of_layers(make_channels, [32, 32], 8)
    dense = 3 * 32 + 32 * 32 + 32 * 5
    with pytest.raises(
        BudgetError, match=r"Budget\(params=0.05\) is out of reach: the smallest reachable is params=0.1"
    ):
        meet(allocation, params, Target(Budget(params=0.05), dense))
    with pytest.raises(BudgetError, match=r"the smallest reachable is params=128;"):
        meet(allocation, params, Target(Budget(params=100), dense))


def test_the_named_smallest_budget_is_reachable(make_channels: Make) -> None:
    allocation = chain_of_layers(make_channels, [30, 33, 77], 8)
    dense = params(allocation.counts(1.0))
    with pytest.raises(BudgetError) as caught:
        meet(allocation, params, Target(Budget(params=0.001), dense))
    named = float(str(caught.value).split("params=")[2].split(";")[0])
    meet(allocation, params, Target(Budget(params=named), dense))


@pytest.mark.parametrize(("number", "allowed"), [(1, 900), (2, 800), (5, 500)])
def test_rounds_go_the_same_part_of_the_way(number: int, allowed: int) -> None:
    assert Target(Budget(macs=0.5), 1000, number / 5).allowed == allowed
    assert Target(Budget(macs=500), 1000, number / 5).allowed == allowed


def test_a_budget_above_the_dense_model_leaves_it_alone(make_channels: Make) -> None:
    allocation = chain_of_layers(make_channels, [32], 8)
    assert meet(allocation, params, Target(Budget(params=10**9), 256)) == [{0: 32}]
