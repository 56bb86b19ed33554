"""Agreed ranks against a slow loop, and what a plain union of masks would keep."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from niwaki.methods.sparse.ranks import agreed_ranks, relative_ranks

Scores = dict[str, dict[str, Tensor]]


def scores_of(tasks: int, *, trunk: int = 30, head: int = 7, seed: int = 0, levels: int = 0) -> Scores:
    """Independent scores: each task's own for the trunk and its head; with few levels there are many ties."""
    generator = torch.Generator().manual_seed(seed)

    def draw(count: int) -> Tensor:
        if levels:
            return torch.randint(levels, (count,), generator=generator).float()
        return torch.rand(count, generator=generator)

    return {f"t{task}": {"trunk": draw(trunk).view(-1, 1), f"head{task}": draw(head)} for task in range(tasks)}


def slow_ranks(scores: Scores) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    for own in scores.values():
        weights = [(name, place) for name, each in own.items() for place in range(each.numel())]
        falling = sorted(weights, key=lambda weight: -own[weight[0]].flatten()[weight[1]].item())
        for rank, weight in enumerate(falling, start=1):
            found[weight] = min(found.get(weight, 2.0), rank / len(weights))
    return found


@given(st.integers(1, 5), st.integers(0, 1000), st.sampled_from([0, 3]))
@settings(max_examples=25, derandomize=True)
def test_ranks_equal_a_slow_loop(tasks: int, seed: int, levels: int) -> None:
    scores = scores_of(tasks, seed=seed, levels=levels)
    found, expected = agreed_ranks(scores), slow_ranks(scores)
    assert {name: each.shape for name, each in found.items()} == {
        name: each.shape for own in scores.values() for name, each in own.items()
    }
    for (name, place), rank in expected.items():
        assert found[name].flatten()[place].item() == pytest.approx(rank, abs=1e-12)


def test_equal_scores_are_ranked_in_their_order() -> None:
    assert relative_ranks(torch.tensor([1.0, 2.0, 1.0, 2.0])).tolist() == [0.75, 0.25, 1.0, 0.5]


def test_a_task_without_weights_says_nothing() -> None:
    assert agreed_ranks({"none": {}, "one": {"w": torch.tensor([1.0])}})["w"].tolist() == [1.0]


@pytest.mark.parametrize(("tasks", "union"), [(2, 0.19), (3, 0.27), (5, 0.41)])
def test_a_union_of_masks_would_keep_far_more(tasks: int, union: float) -> None:
    """Each task keeps a tenth of independent scores: together they keep `1 - .9^T`; the smallest ranks keep a tenth."""
    scores = scores_of(tasks, trunk=40_000, head=1, seed=3)
    kept = torch.zeros(40_000, dtype=torch.bool)
    for own in scores.values():
        kept |= relative_ranks(torch.cat([each.flatten() for each in own.values()]))[:40_000] <= 0.1
    assert kept.double().mean().item() == pytest.approx(union, abs=0.01)
    ranks = agreed_ranks(scores)["trunk"].flatten()
    smallest = ranks.topk(4000, largest=False).indices
    assert len(set(smallest.tolist())) == 4000
    assert kept[smallest].all()  # what stays lies inside the union
