"""Magnitude pruning at once and in rounds: which weights stay, how many after each round, and its curves."""

from typing import Any

import pytest
import torch
from tests.methods.sparse.networks import EXAMPLE, density, network, sparse_names, started, step
from torch import Tensor

from niwaki.errors import BudgetError, ContractError, SettingError
from niwaki.methods.sparse import ERK, LAMP, Global
from niwaki.methods.sparse.magnitude import MagnitudePruning
from niwaki.methods.sparse.rounds import density_after, even_rounds, target_after
from niwaki.methods.sparse.target import Target


def test_the_curves_are_those_of_their_papers() -> None:
    for turn in range(11):
        part, final = turn / 10, 0.05
        cubic = 1 - (0.95 + (0 - 0.95) * (1 - part) ** 3)  # Zhu, Gupta, equation 1, from a sparsity of 0
        assert density_after(part, final, "cubic") == pytest.approx(cubic)
        assert density_after(part, final, "geometric") == pytest.approx(0.05**part)
        assert density_after(part, final, "linear") == pytest.approx(1 - 0.95 * part)
    assert density_after(1.0, 0.3, "geometric") == 0.3


def test_every_density_of_a_target_goes_its_own_way() -> None:
    target = Target(rate=4, trunk=0.5, heads={"a": 0.1}, allocation=ERK(), keep=("x.*",), keep_first=False)
    found = target_after(target, lambda each: density_after(0.5, each, "linear"))
    assert found == Target(
        density=0.625, trunk=0.75, heads={"a": 0.55}, allocation=ERK(), keep=("x.*",), keep_first=False
    )
    assert target_after(Target(trunk=0.5, heads=0.1), lambda each: each / 2) == Target(trunk=0.25, heads=0.05)


def test_rounds_are_spread_evenly_and_never_fall_together() -> None:
    assert even_rounds(3, 0.5, 1.0, 12) == [8, 10, 12]
    assert even_rounds(1, 0.5, 0.75, 11) == [6]
    with pytest.raises(ContractError, match=r"5 rounds between 0 and 0\.5 of 8 steps would fall together"):
        even_rounds(5, 0.0, 0.5, 8)
    with pytest.raises(SettingError, match=r"begin=0\.5 must lie before until=0\.5"):
        MagnitudePruning(density=0.1, rounds=2, begin=0.5)


def kept_by_hand(weights: dict[str, Tensor], counts: dict[str, int]) -> dict[str, Tensor]:
    found = {}
    for name, weight in weights.items():
        order = sorted(range(weight.numel()), key=lambda place: (-abs(weight.flatten()[place].item()), place))
        mask = torch.zeros(weight.numel(), dtype=torch.bool)
        mask[order[: counts[name]]] = True
        found[name] = mask.view_as(weight)
    return found


def test_one_shot_keeps_the_largest_of_each_layer() -> None:
    model = network(2)
    copy, run, _, _ = started(MagnitudePruning(density=0.25), model, steps=5)
    assert run.settled
    weights = {name: model.get_parameter(name).detach() for name in sparse_names(run)}
    expected = kept_by_hand(weights, run.counts)
    for name, mask in expected.items():
        assert torch.equal(run.masks[name], mask)
        assert torch.equal(copy.get_parameter(name), weights[name] * mask)
        assert abs(run.counts[name] - 0.25 * mask.numel()) < 1


@pytest.mark.parametrize("curve", ["cubic", "geometric", "linear"])
@pytest.mark.parametrize("allocation", [ERK(), Global(), LAMP()])
def test_rounds_take_from_what_is_left(curve: Any, allocation: Any) -> None:
    method = MagnitudePruning(density=0.1, rounds=4, until=1.0, curve=curve, allocation=allocation)
    copy, run, tasks, data = started(method, network(3), steps=12)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.1, weight_decay=1e-3), momentum=0.9)
    size, before = run.subject.size, {name: mask.clone() for name, mask in run.masks.items()}
    for number in range(1, 13):
        copy = step(copy, run, optimizer, data[number % 3], tasks)
        done = number // 3
        assert sum(run.masks.kept.values()) == round(density_after(done / 4, 0.1, curve) * size)
        assert not any((run.masks[name] & ~before[name]).any() for name in before), "a weight came back"
        before = {name: mask.clone() for name, mask in run.masks.items()}
    assert run.settled
    assert density(run.finish(copy), sparse_names(run)) == (round(0.1 * size), size)


def test_parts_with_densities_of_their_own() -> None:
    method = MagnitudePruning(trunk=0.5, heads={"t0": 0.1}, density=0.3, rounds=2, until=1.0)
    copy, run, tasks, data = started(method, network(2), steps=4)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.1))
    for number in range(4):
        copy = step(copy, run, optimizer, data[number % 3], tasks)
    by_part: dict[str, list[int]] = {}
    for each in run.subject.layers:
        counted = by_part.setdefault(each.part, [0, 0])
        counted[0] += run.masks.kept[each.name]
        counted[1] += each.size
    for part, wanted in (("trunk", 0.5), ("head t0", 0.1), ("head t1", 0.3)):
        kept, size = by_part[part]
        assert kept == round(wanted * size)


def test_training_that_ends_early_is_pruned_all_the_same() -> None:
    copy, run, tasks, data = started(MagnitudePruning(density=0.1, rounds=3, until=1.0), network(2), steps=9)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.1))
    for batch in data:
        copy = step(copy, run, optimizer, batch, tasks)
    assert not run.settled
    found, size = density(run.finish(copy), sparse_names(run))
    assert found == round(0.1 * size)
    assert density(copy, sparse_names(run))[0] > found, "finish changes no model in place"


def test_less_than_a_weight_a_layer_is_refused() -> None:
    with pytest.raises(BudgetError, match="each keeps at least one"):
        MagnitudePruning(density=1e-4).start(network(2), EXAMPLE, steps=1)
