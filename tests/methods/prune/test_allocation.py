"""Allocation against slow loops over every possible choice, on channel classes written by hand."""

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from niwaki.graph import Channels
from niwaki.methods.prune.allocation import Allocation, allocate
from niwaki.methods.prune.strata import Rules, read_layout

Make = Callable[..., Channels]


def single(first: int, count: int, width: int = 1) -> list[list[int]]:
    return [list(range(first + j * width, first + (j + 1) * width)) for j in range(count)]


def nothing(count: int) -> list[list[int]]:
    return [[] for _ in range(count)]


def allocation(
    channels: Channels, *, round_to: int = 8, floor: int = 1, scores: NDArray[np.float64] | None = None
) -> Allocation:
    rules = Rules(round_to, max(floor, round_to), channels.traced.shapes)
    worth = np.arange(len(channels.removable), dtype=float) if scores is None else scores
    return allocate(read_layout(channels, rules), worth)


def kept(result: Allocation, share: float) -> list[int]:
    counts = {index: count for block in result.counts(share) for index, count in block.items()}
    return [counts[index] for index in sorted(counts)]


def plain(make_channels: Make, size: int) -> Channels:
    return make_channels([{("a", 0): single(0, size), ("b", 1): single(0, size)}], {"a": (size,), "b": (2, size)})


@pytest.mark.parametrize(
    ("size", "share", "expected"),
    [
        (64, 0.5, 32),
        (64, 0.55, 32),
        (64, 0.57, 40),
        (64, 0.0, 8),
        (64, 1.0, 64),
        (20, 0.5, 8),
        (20, 0.99, 20),
        (12, 0.0, 12),
    ],
)
def test_one_group_keeps_the_nearest_multiple(make_channels: Make, size: int, share: float, expected: int) -> None:
    assert kept(allocation(plain(make_channels, size)), share) == [expected]


@given(size=st.integers(2, 70), share=st.floats(0, 1), round_to=st.integers(1, 9), floor=st.integers(1, 20))
def test_any_group_is_a_multiple_or_whole(
    make_channels: Make, size: int, share: float, round_to: int, floor: int
) -> None:
    channels = plain(make_channels, size)
    (count,) = kept(allocation(channels, round_to=round_to, floor=floor), share)
    options = [n for n in range(1, size) if n % round_to == 0 and n >= max(floor, round_to)] + [size]
    options = [size] if size < 2 * round_to else options
    assert count in options
    assert abs(count - share * size) == min(abs(n - share * size) for n in options)


def test_small_group_is_stuck_with_its_reason(make_channels: Make) -> None:
    result = allocation(plain(make_channels, 12))
    assert result.stuck == {0: "its 12 channels are fewer than two rounding steps of 8"}
    assert result.free_channels(result.counts(1.0)) == 0


def test_floor_is_the_reason(make_channels: Make) -> None:
    result = allocation(plain(make_channels, 20), floor=20)
    assert result.stuck == {0: "its 20 channels are not above the floor of 20"}


def test_the_lowest_scores_go(make_channels: Make) -> None:
    scores = np.random.default_rng(0).permutation(33).astype(float)
    result = allocation(plain(make_channels, 32), scores=scores)
    stays = result.keep(result.counts(0.5))
    assert stays[0]
    assert stays[1:].sum() == 16
    assert scores[1:][stays[1:]].min() > scores[1:][~stays[1:]].max()


def test_grouped_convolution_counts_whole_groups_as_one_step(make_channels: Make) -> None:
    """4 classes of 32 channels: each step of one class is a multiple of 8."""
    channels = make_channels(
        [{("a", 0): [[j + 4 * g for g in range(32)] for j in range(4)], ("b", 1): single(0, 4)}],
        {"a": (128,), "b": (128, 4)},
    )
    assert kept(allocation(channels), 0.5) == [2]
    assert kept(allocation(channels), 0.25) == [1]


def test_pieces_of_a_concatenation_shrink_alike(make_channels: Make) -> None:
    dims = {
        ("a", 0): single(0, 32) + nothing(64),
        ("b", 0): nothing(32) + single(0, 64),
        ("c", 1): single(0, 96),
    }
    result = allocation(make_channels([dims], {"a": (32,), "b": (64,), "c": (8, 96)}))
    assert kept(result, 0.5) == [16, 32]


def test_frozen_positions_beside_a_concatenation_do_not_spoil_it(make_channels: Make) -> None:
    """An image of 3 channels is concatenated to 32 features: the producer's width stays a multiple."""
    channels = make_channels(
        [{("a", 0): single(0, 32), ("n", 0): single(0, 32), ("c", 1): single(3, 32)}],
        {"a": (32,), "n": (32,), "c": (8, 35)},
    )
    assert kept(allocation(channels), 0.5) == [16]


def test_tiny_strata_share_the_rounding_error_of_their_layer(make_channels: Make) -> None:
    """16 channels, each used by a layer of its own: together they are a multiple of 8, the most worthy ones stay."""
    dims = {("a", 0): single(0, 16)} | {(f"b{j}", 1): [[0] if i == j else [] for i in range(16)] for j in range(16)}
    channels = make_channels([dims], {"a": (16,)} | {f"b{j}": (2, 2) for j in range(16)})
    result = allocation(channels)
    counts = np.array(kept(result, 0.5))
    assert counts.sum() == 8
    assert counts[8:].all(), "the scores rise with the index"


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_equal_chunks_stay_equal(make_channels: Make, share: float) -> None:
    """32 channels, halved by chunk(2); the first half is used once more, so the halves are strata of their own."""
    dims = {("a", 0): single(0, 32), ("b", 1): single(0, 16) + nothing(16), ("c", 1): nothing(16) + single(0, 16)}
    channels = make_channels([dims], {"a": (32,), "b": (4, 16), "c": (4, 16)}, equal=[[range(1, 17), range(17, 33)]])
    first, second = kept(allocation(channels, round_to=4), share)
    assert first == second
    options = [(n, m) for n, m in product(range(1, 17), repeat=2) if n == m and n % 4 == 0]
    assert abs(first - share * 16) == min(abs(n - share * 16) for n, _ in options)


def test_chunks_inside_one_stratum_are_told_apart(make_channels: Make) -> None:
    channels = make_channels(
        [{("a", 0): single(0, 32), ("b", 1): single(0, 32)}],
        {"a": (32,), "b": (4, 32)},
        equal=[[range(1, 17), range(17, 33)]],
    )
    assert kept(allocation(channels), 0.5) == [8, 8]


def test_later_rounds_count_from_the_first_size(make_channels: Make) -> None:
    """Half of 64, of which 48 are left."""
    channels = plain(make_channels, 48)
    result = allocate(read_layout(channels, Rules(8, 8, {"a": (64,), "b": (2, 64)})), np.ones(49))
    assert kept(result, 0.5) == [32]
    assert kept(result, 1.0) == [48]
