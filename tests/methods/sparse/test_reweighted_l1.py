"""Reweighted l1: what the penalty counts, where it pulls, and its stages."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.methods.sparse.networks import density, network, sparse_names, started, step

from niwaki.errors import SettingError
from niwaki.methods.sparse.reweighted_l1 import ReweightedL1, reweighting, weighted_l1

sizes = st.floats(0.01, 10).flatmap(lambda size: st.sampled_from([size, -size, 0.0]))


@given(st.lists(sizes, min_size=1, max_size=30))
@settings(max_examples=25, derandomize=True)
def test_at_the_weights_of_the_reweighting_it_counts_those_that_are_not_zero(values: list[float]) -> None:
    """Of either sign: without the absolute value a negative weight would count as minus one."""
    weights = {"a": torch.tensor(values), "b": torch.tensor([values, values])}
    factors = {name: reweighting(each, 1e-6) for name, each in weights.items()}
    count = 3 * sum(value != 0 for value in values)
    assert weighted_l1(weights, factors).item() == pytest.approx(count, rel=2e-4, abs=1e-6)
    assert all(each.max() <= 1e6 * 1.0001 and each.min() > 0 for each in factors.values())


def test_half_precision_counts_alike() -> None:
    """The factor of a zero is past what float16 holds."""
    weights = {"a": torch.tensor([0.5, 0.0, -0.25], dtype=torch.float16, requires_grad=True)}
    factors = {"a": reweighting(weights["a"], 1e-6)}
    count = weighted_l1(weights, factors)
    assert count.item() == pytest.approx(2, rel=1e-3)
    (1e-7 * count).backward()
    assert weights["a"].grad is not None
    assert torch.isfinite(weights["a"].grad).all()


def test_the_stages() -> None:
    method = ReweightedL1(density=0.1)
    assert method.stages(100) == ([25, 41, 58], 75)
    assert method.stages(0) == ([], 0)
    assert ReweightedL1(density=0.1, pretrain=0, penalised=1.0, renewals=2).stages(10) == ([0, 5], 10)
    assert ReweightedL1(density=0.1, renewals=9).stages(8) == ([2, 3, 4, 5], 6)  # no more than there are steps
    with pytest.raises(SettingError, match=r"pretrain=0\.6 and penalised=0\.5 are shares of the steps"):
        ReweightedL1(density=0.1, pretrain=0.6, penalised=0.5)


def test_a_whole_training() -> None:
    """The penalty at each step by hand, its gradient in the model's, and the masks from the pruning on."""
    method = ReweightedL1(density=0.2, strength=1e-3, renewals=2)
    copy, run, tasks, data = started(method, network(2), steps=16)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.1), momentum=0.9)
    names = sparse_names(run)
    renewed: dict[str, Any] = {}
    assert method.stages(16) == ([4, 8], 12)
    for number in range(16):
        weights = {name: copy.get_parameter(name).detach().clone() for name in names}
        if number in (4, 8):
            renewed = weights
        value = run.penalty(copy)
        if not 4 <= number < 12:
            assert value.item() == 0
        else:
            factors = {name: 1 / (each.abs() + 1e-6) for name, each in renewed.items()}
            by_hand = sum((weights[name].abs() * factors[name]).sum() for name in names)
            assert value.item() == pytest.approx(1e-3 * float(by_hand), rel=1e-4)
            pulls = torch.autograd.grad(value, [copy.get_parameter(name) for name in names])
            for name, pull in zip(names, pulls, strict=True):
                torch.testing.assert_close(pull, 1e-3 * factors[name] * weights[name].sign())
            if number in (4, 8):
                assert value.item() == pytest.approx(1e-3 * run.subject.size, rel=0.01)
        assert run.settled == (number >= 12)
        copy = step(copy, run, optimizer, data[number % 3], tasks)
        kept, size = density(copy, names)
        assert kept == (size if number + 1 < 12 else round(0.2 * size))
    for name in names:
        assert abs(run.masks.kept[name] - 0.2 * run.masks[name].numel()) < 1, "each layer by itself"
    assert density(run.finish(copy), names)[0] == round(0.2 * size)


def test_the_penalty_reaches_the_training() -> None:
    """A strong penalty leaves smaller sums of sizes than none before the pruning."""
    left = []
    for strength in (1e-12, 1e-3):
        method = ReweightedL1(density=0.2, strength=strength, pretrain=0, penalised=1.0)
        copy, run, tasks, data = started(method, network(2), steps=30)
        optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.01))
        for number in range(29):
            copy = step(copy, run, optimizer, data[number % 3], tasks)
        assert not run.settled
        left.append(sum(copy.get_parameter(name).detach().abs().sum().item() for name in sparse_names(run)))
    assert left[1] < 0.98 * left[0]


def test_training_that_ends_early_is_pruned_all_the_same() -> None:
    copy, run, tasks, data = started(ReweightedL1(rate=10), network(2), steps=9)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=0.01))
    for batch in data:
        copy = step(copy, run, optimizer, batch, tasks)
    found, size = density(run.finish(copy), sparse_names(run))
    assert found == round(size / 10)
