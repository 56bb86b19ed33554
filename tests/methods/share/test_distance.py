"""Distances against slow loops, with filters of very different norms and zero filters."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from niwaki.methods.share.distance import assign, cosines, distances, errors
from niwaki.methods.share.merging import centred, merge_stack
from niwaki.methods.share.stack import LayerStack


def filters_of(seed: int, count: int = 9) -> Tensor:
    """Filters of norms from 1e-4 to 1e4, one zero, and two that point the same way."""
    generator = torch.Generator().manual_seed(seed)
    filters = torch.randn(count, 6, generator=generator, dtype=torch.float64)
    filters *= 10.0 ** torch.randint(-4, 5, (count, 1), generator=generator)
    filters[1] = 0
    filters[3] = 250 * filters[2]
    return filters


def slow_error(one: Tensor, other: Tensor, *, scale: bool) -> float:
    """What is left of a filter after the best multiple of another, from 0 up, is taken away."""
    square = float(other @ other)
    factor = (max(0.0, float(one @ other)) / square if square else 0.0) if scale else 1.0
    return float(((one - factor * other) ** 2).sum())


@given(seed=st.integers(0, 1000), scale=st.booleans())
def test_distances_are_those_of_a_slow_loop(seed: int, scale: bool) -> None:
    filters = filters_of(seed)
    found, relative = errors(filters, scale=scale), distances(filters, scale=scale)
    for i, one in enumerate(filters):
        square = float(one @ one)
        for j, other in enumerate(filters):
            lost = slow_error(one, other, scale=scale)
            assert float(found[i, j]) == pytest.approx(lost, rel=1e-9, abs=1e-9 * square)
            assert float(relative[i, j]) == pytest.approx(lost / square if square else 0.0, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 1000))
def test_with_scales_a_distance_is_one_less_the_square_of_the_cosine(seed: int) -> None:
    filters = filters_of(seed)
    found = distances(filters)
    live = filters.norm(dim=1) > 0
    assert bool((found >= 0).all() & (found <= 1).all())
    wanted = 1 - cosines(filters).clamp(min=0) ** 2
    torch.testing.assert_close(found[live][:, live], wanted[live][:, live], rtol=0, atol=1e-12)
    assert not found[1].any()  # a zero filter loses nothing
    assert float(found[2, 3]) == pytest.approx(0, abs=1e-12)


@given(seed=st.integers(0, 1000), scale=st.booleans(), kept=st.sets(st.integers(0, 8), min_size=1))
def test_each_filter_is_stood_for_by_the_nearest(seed: int, scale: bool, kept: set[int]) -> None:
    filters, chosen = filters_of(seed), sorted(kept)
    place, scales = assign(filters, chosen, scale=scale)
    for i, one in enumerate(filters):
        lost = [slow_error(one, filters[j], scale=scale) for j in chosen]
        j = chosen[int(place[i])]
        if i in kept:
            assert (j, float(scales[i])) == (i, 1.0)
        assert lost[int(place[i])] == pytest.approx(min(lost), rel=1e-6, abs=1e-9 * float(one @ one))
        left = float(((one - scales[i] * filters[j]) ** 2).sum())
        assert left == pytest.approx(slow_error(one, filters[j], scale=scale), rel=1e-6, abs=1e-9 * float(one @ one))


def test_a_zero_filter_without_scales_takes_the_smallest() -> None:
    filters = torch.tensor([[5.0, 0.0], [0.0, 0.0], [0.0, 0.1]])
    assert assign(filters, [0, 2], scale=False)[0].tolist() == [0, 1, 1]


def stack_of(filters: Tensor) -> LayerStack:
    owners = torch.arange(len(filters)) * 3 // len(filters)
    return LayerStack("a", ("a", "b", "c"), filters, owners, (("x",),) * 3, filters.norm(dim=1))


@given(seed=st.integers(0, 200), scale=st.booleans())
def test_centroids_stand_no_worse_and_leave_lone_filters_alone(seed: int, scale: bool) -> None:
    filters = torch.randn(12, 5, generator=torch.Generator().manual_seed(seed))
    kept, left = [0, 3, 7], torch.ones(12, dtype=torch.bool)
    plain = merge_stack(stack_of(filters), kept, scale=scale)
    moved = merge_stack(stack_of(filters), kept, scale=scale, centroids=True)
    assert moved.lost(left) <= plain.lost(left) + 1e-6
    whole = merge_stack(stack_of(filters), range(12), scale=scale, centroids=True)
    assert torch.equal(whole.bank, filters)
    assert bool((whole.scales == 1).all())


def test_a_row_that_stands_for_nothing_but_zeros_stays() -> None:
    bank, scales = centred(torch.zeros(2, 3), torch.ones(1, 3), torch.tensor([0, 0]), torch.zeros(2), scale=True)
    assert bank.tolist() == [[1.0, 1.0, 1.0]]
    assert scales.tolist() == [0.0, 0.0]


def test_a_limit_prunes_the_least_important_of_those_it_leaves_alone() -> None:
    filters = torch.tensor([[1.0, 0, 0], [2.0, 0.1, 0], [0, 0.3, 0], [0, 0, 5.0], [0.2, 0, 0], [0, 0.1, 0]])
    stack = LayerStack("a", ("a",), filters, torch.zeros(6, dtype=torch.long), (("x",),), filters.norm(dim=1))
    merge = merge_stack(stack, [0], limit=0.5, below=0.5)
    assert merge.unfit.tolist() == [False, False, True, False, False, True]  # 3 is too important, 4 is stood for
    assert not merge_stack(stack, [0], limit=0.5, below=0.0).unfit.any()
    assert merge.lost(~merge.unfit) == pytest.approx(
        (0.01 + 0.09 + 25 + 0.01) / float(filters.square().sum()), rel=1e-2
    )
