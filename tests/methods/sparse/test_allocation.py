"""How many weights each layer keeps: closed forms, and slow rankings."""

import pytest
import torch
from torch import Tensor

from niwaki.errors import BudgetError, SettingError
from niwaki.methods.sparse.allocation import (
    ERK,
    LAMP,
    Allocation,
    Global,
    Uniform,
    UniformPlus,
    allocations,
    erk_ratio,
    lamp_scores,
)
from niwaki.methods.sparse.layers import Layer
from niwaki.methods.sparse.target import Target

LAYERS = (
    Layer("first", (8, 3, 3, 3), "trunk", "first"),
    Layer("wide", (32, 16, 3, 3), "trunk"),
    Layer("tiny", (4, 2), "trunk"),
    Layer("near", (16, 16), "head near", "prediction"),
    Layer("far", (8, 16), "head far", "prediction"),
)
SIZE = sum(each.size for each in LAYERS)


@pytest.fixture
def magnitudes() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(4)
    return {each.name: torch.randn(each.shape, generator=generator).abs() for each in LAYERS}


@pytest.mark.parametrize("kind", allocations.names())
@pytest.mark.parametrize("density", [0.01, 0.1, 0.37, 0.9, 1.0])
def test_every_allocation_meets_its_total_exactly(kind: str, density: float, magnitudes: dict[str, Tensor]) -> None:
    counts = Target(density=density, allocation=kind).counts(LAYERS, magnitudes)
    assert sum(counts.values()) == round(density * SIZE)
    assert all(1 <= counts[each.name] <= each.size for each in LAYERS)


def test_uniform_is_within_one_weight_a_layer(magnitudes: dict[str, Tensor]) -> None:
    counts = Uniform().counts(LAYERS, round(0.13 * SIZE), magnitudes)
    assert all(abs(counts[each.name] - 0.13 * each.size) < 1 for each in LAYERS)


def test_erk_follows_the_papers_formula_where_no_layer_is_full() -> None:
    layers = [Layer("a", (64, 32, 3, 3), "trunk"), Layer("b", (128, 64, 3, 3), "trunk"), Layer("c", (10, 128), "trunk")]
    ratios = [(64 + 32 + 6) / (64 * 32 * 9), (128 + 64 + 6) / (128 * 64 * 9), 138 / 1280]
    sizes = [each.size for each in layers]
    for power in (1.0, 0.9, 0.0):
        total = 2000
        raw = [ratio**power * size for ratio, size in zip(ratios, sizes, strict=True)]
        wanted = [total * each / sum(raw) for each in raw]
        if wanted[2] > sizes[2]:
            wanted = [sizes[2] if i == 2 else (total - sizes[2]) * raw[i] / sum(raw[:2]) for i in range(3)]
        found = ERK(power=power).counts(layers, total, {})
        assert all(abs(count - share) < 1 for count, share in zip(found.values(), wanted, strict=True))
    assert erk_ratio((64, 32, 3, 3)) == ratios[0]


def test_erk_leaves_small_layers_dense_and_solves_the_rest_again() -> None:
    layers = [Layer("small", (4, 2), "trunk"), Layer("big", (100, 100), "trunk"), Layer("huge", (200, 200), "trunk")]
    counts = ERK().counts(layers, 3008, {})
    assert counts == {"small": 8, "big": 1000, "huge": 2000}


def test_uniform_plus_spares_the_first_and_the_last_where_it_can() -> None:
    counts = UniformPlus().counts(LAYERS, 700, {})
    assert counts["first"] == 216
    assert (counts["near"], counts["far"]) == (51, 26)  # a fifth of 256 and of 128, rounded
    assert counts["tiny"] == 1
    assert sum(counts.values()) == 700
    assert UniformPlus().counts(LAYERS, 100, {}) == Uniform().counts(LAYERS, 100, {})


def test_lamp_scores_are_the_papers(magnitudes: dict[str, Tensor]) -> None:
    layer = magnitudes["near"]
    values = sorted(layer.flatten().tolist(), reverse=True)
    wanted = {value: value**2 / sum(other**2 for other in values[: i + 1]) for i, value in enumerate(values)}
    found = lamp_scores(layer)
    slow = torch.tensor([[wanted[value] for value in row] for row in layer.tolist()])
    torch.testing.assert_close(found, slow, rtol=1e-5, atol=0)


def test_lamp_and_global_keep_the_highest_of_one_ranking(magnitudes: dict[str, Tensor]) -> None:
    total = 900
    for allocation, scores in (
        (Global(), magnitudes),
        (LAMP(), {name: lamp_scores(each) for name, each in magnitudes.items()}),
    ):
        ranked = sorted(
            ((-float(v), n) for n, each in scores.items() for v in each.flatten()), key=lambda each: each[0]
        )
        wanted = {name: sum(n == name for _, n in ranked[:total]) for name in scores}
        assert allocation.counts(LAYERS, total, magnitudes) == wanted


def test_trunk_and_heads_follow_targets_of_their_own(magnitudes: dict[str, Tensor]) -> None:
    target = Target(density=0.5, trunk=0.1, heads={"far": 0.25})
    counts = target.counts(LAYERS, magnitudes)
    trunk = sum(each.size for each in LAYERS if not each.in_head)
    assert sum(counts[each.name] for each in LAYERS if not each.in_head) == round(0.1 * trunk)
    assert (counts["far"], counts["near"]) == (32, 128)
    assert list(counts) == [each.name for each in LAYERS]
    assert Target(trunk=0.1, heads=0.2).density_of("branch a+b") == 0.1


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "needs a target"),
        ({"trunk": 0.1}, "needs a target"),
        ({"trunk": 0.1, "heads": {"a": 0.1}}, "needs a target"),
        ({"density": 0.1, "rate": 10}, "say the same"),
        ({"density": 0.0}, "greater than 0"),
        ({"rate": 0.5}, "greater than or equal to 1"),
        ({"density": 0.1, "allocation": "even"}, "unknown allocation"),
    ],
)
def test_a_target_that_says_too_little_or_too_much_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Target(**values)


def test_less_than_one_weight_a_layer_is_refused(magnitudes: dict[str, Tensor]) -> None:
    with pytest.raises(BudgetError, match="leaves 1 of 5216 weights to 5 layers.*ask for 0.00096 or more"):
        Target(density=0.0002).counts(LAYERS, magnitudes)


@pytest.mark.parametrize("allocation", [Uniform(), UniformPlus(least=0.3), ERK(power=0.9), LAMP(), Global()])
def test_allocations_survive_a_round_trip(allocation: Allocation) -> None:
    target = Target(rate=60, allocation=allocation)
    assert Target(**target.model_dump(mode="json")) == target
