"""Exact choices against slow ones: sorted by hand, counted by hand."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from niwaki.methods.sparse.choosing import capped_shares, global_counts, largest_remainder, top_k

few = settings(max_examples=25, derandomize=True, deadline=None)
scores = st.lists(st.integers(-3, 3), min_size=1, max_size=30)


def by_hand(values: list[float], count: int, among: list[bool]) -> list[bool]:
    order = sorted((i for i, able in enumerate(among) if able), key=lambda i: (-values[i], i))
    return [i in set(order[:count]) for i in range(len(values))]


@few
@given(scores, st.data())
def test_top_k_takes_the_highest_and_of_equal_ones_the_first(values: list[int], data: st.DataObject) -> None:
    among = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    count = data.draw(st.integers(0, sum(among)))
    found = top_k(torch.tensor(values, dtype=torch.float32), count, torch.tensor(among))
    assert found.tolist() == by_hand([float(each) for each in values], count, among)


def test_top_k_keeps_shape_and_precision_and_puts_nan_last() -> None:
    close = torch.tensor([[1.0, 1.0 + 1e-12], [float("nan"), 0.0]], dtype=torch.float64)
    assert top_k(close, 1).tolist() == [[False, True], [False, False]]
    assert top_k(close, 3).tolist() == [[True, True], [False, True]]
    assert top_k(torch.ones(3, dtype=torch.bfloat16), 2).tolist() == [True, True, False]
    assert top_k(close, 4).all()


@few
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.data())
def test_rounded_shares_add_up_and_stay_within_one(sizes: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(len(sizes), sum(sizes)))
    shares = [total * size / sum(sizes) for size in sizes]
    counts = largest_remainder(shares, total, sizes)
    assert sum(counts) == total
    assert all(1 <= count <= size for count, size in zip(counts, sizes, strict=True))
    bumped = sum(share < 1 for share in shares)
    assert all(abs(count - share) < 1 + bumped for count, share in zip(counts, shares, strict=True))


def test_the_largest_remainders_are_rounded_up() -> None:
    assert largest_remainder([1.2, 2.5, 3.3], 7, [9, 9, 9]) == [1, 3, 3]
    assert largest_remainder([1.5, 2.5, 3.0], 7, [9, 9, 9]) == [2, 2, 3]
    assert largest_remainder([0.1, 0.1, 9.8], 10, [9, 9, 20]) == [1, 1, 8]


@few
@given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.5, 20)), min_size=1, max_size=8), st.floats(0.05, 1))
def test_capped_shares_stay_in_proportion_below_the_caps(pairs: list[tuple[float, float]], part: float) -> None:
    weights, caps = [list(each) for each in zip(*pairs, strict=True)]
    total = part * sum(caps)
    shares = capped_shares(weights, total, caps)
    torch.testing.assert_close(torch.tensor(sum(shares)), torch.tensor(total))
    assert all(share <= cap * (1 + 1e-9) for share, cap in zip(shares, caps, strict=True))
    open_ = [share / weight for share, weight, cap in zip(shares, weights, caps, strict=True) if share < cap - 1e-9]
    assert not open_ or max(open_) - min(open_) < 1e-6 * max(open_)


@few
@given(st.lists(scores, min_size=1, max_size=4), st.data())
def test_global_counts_are_those_of_one_ranking(lists: list[list[int]], data: st.DataObject) -> None:
    layers = {str(i): torch.tensor(each, dtype=torch.float32) for i, each in enumerate(lists)}
    total = data.draw(st.integers(len(layers), sum(map(len, lists))))
    counts = global_counts(layers, total)
    assert sum(counts.values()) == total
    assert counts == _one_ranking(layers, total)


def _one_ranking(layers: dict[str, Tensor], total: int) -> dict[str, int]:
    """The best of each layer stays anyway; the rest of the total goes to the highest of all others."""
    others = []
    for place, (name, values) in enumerate(layers.items()):
        ranked = sorted(range(len(values)), key=lambda i, held=values: (-float(held[i]), i))  # type: ignore[misc]  # bound at once
        others += [(-float(values[i]), place, i, name) for i in ranked[1:]]
    chosen = sorted(others)[: total - len(layers)]
    return {name: 1 + sum(each[3] == name for each in chosen) for name in layers}
