"""GLS, RLW, FAMO, smooth Tchebycheff, AdapMTL's and IMTL-L's weights against their closed forms or TorchJD's own."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchjd import scalarization as theirs

from niwaki.balance import FAMO, GLS, IMTLL, RLW, STCH, Balancer, GradNorm, RelativeChange
from niwaki.errors import SettingError

positive = st.lists(st.floats(2**-7, 100, width=32), min_size=1, max_size=6)
NAMES = "abcdef"


def leaves_of(values: list[float]) -> dict[str, Tensor]:
    return {task: torch.tensor(value, requires_grad=True) for task, value in zip(NAMES, values, strict=False)}


def slopes_of(value: Tensor, leaves: dict[str, Tensor]) -> list[float]:
    return [each.item() for each in torch.autograd.grad(value, list(leaves.values()))]


def as_theirs(scalarizer: Callable[[Tensor], Tensor], values: list[float]) -> tuple[float, list[float]]:
    leaf = torch.tensor(values, requires_grad=True)
    value = scalarizer(leaf)
    return value.item(), torch.autograd.grad(value, leaf)[0].tolist()


@given(positive)
@settings(max_examples=25, derandomize=True)
def test_gls_is_the_geometric_mean_times_the_number(values: list[float]) -> None:
    leaves = leaves_of(values)
    value = GLS()(leaves)
    expected, slopes = as_theirs(theirs.GeometricMean(), values)
    assert value.item() == pytest.approx(len(values) * expected, rel=1e-4)
    assert slopes_of(value, leaves) == pytest.approx([len(values) * each for each in slopes], rel=1e-4)


def test_gls_is_blind_to_units_and_to_losses_of_zero() -> None:
    balance = GLS()
    balance(leaves_of([1.0, 4.0]))
    before = balance.weights
    balance(leaves_of([1.0, 4000.0]))
    assert balance.weights["a"] / before["a"] == pytest.approx(1000**0.5, rel=1e-5)
    assert balance.weights["b"] * 4000 == pytest.approx(balance.weights["a"], rel=1e-5)
    value = balance(leaves_of([0.0, 4.0, 1.0]))
    assert balance.weights == pytest.approx({"a": 0.0, "b": 0.5, "c": 2.0})
    assert value.isfinite()
    assert balance(leaves_of([-1.0, 4.0])).isnan()


def test_rlw_draws_softmaxes_of_normal_numbers() -> None:
    balance, own = RLW(seed=5), torch.Generator().manual_seed(5)
    for _ in range(4):
        balance(leaves_of([1.0, 2.0, 3.0]))
        expected = 3 * torch.randn(3, generator=own).softmax(0)
        assert list(balance.weights.values()) == pytest.approx(expected.tolist())


def test_rlw_means_equal_weighting() -> None:
    balance, sums = RLW(), torch.zeros(3)
    for _ in range(2000):
        balance(leaves_of([1.0, 2.0, 3.0]))
        sums += torch.tensor(list(balance.weights.values()))
    assert (sums / 2000).tolist() == pytest.approx([1.0] * 3, abs=0.05)


@given(positive)
@settings(max_examples=25, derandomize=True)
def test_stch_is_the_smooth_maximum(values: list[float]) -> None:
    leaves = leaves_of(values)
    value = STCH(mu=0.7, normalise="none")(leaves)
    expected, slopes = as_theirs(theirs.STCH(mu=0.7, weights=torch.ones(len(values))), values)
    assert value.item() == pytest.approx(len(values) * expected, rel=1e-4)
    assert slopes_of(value, leaves) == pytest.approx([len(values) * each for each in slopes], rel=1e-3, abs=1e-6)


def test_famo_is_torchjds_times_the_number_of_tasks() -> None:
    ours, oracle = FAMO(lr=0.1), theirs.FAMO(3, lr=0.1)
    draws = torch.rand(30, 2, 3, generator=torch.Generator().manual_seed(0)) + 0.2
    for before, after in draws:
        leaves = leaves_of(before.tolist())
        value = ours(leaves)
        expected, slopes = as_theirs(oracle, before.tolist())
        assert slopes_of(value, leaves) == pytest.approx([3 * each for each in slopes], rel=1e-4)
        assert math.isfinite(expected)
        ours.after_step(leaves_of(after.tolist()))
        oracle.update(after)
    assert max(ours.weights.values()) > 1.2 * min(ours.weights.values())


def test_famo_moves_only_the_tasks_seen_before_and_after() -> None:
    balance = FAMO(lr=0.5)
    balance.after_step(leaves_of([1.0, 2.0]))  # nothing was seen before
    balance({"a": torch.tensor(1.0), "b": torch.tensor(1.0)})
    balance.after_step({"a": torch.tensor(0.5), "c": torch.tensor(9.0)})
    balance({"a": torch.tensor(1.0), "b": torch.tensor(1.0), "c": torch.tensor(1.0)})
    assert balance.weights["b"] == balance.weights["c"]


def test_famo_lives_through_a_loss_of_zero() -> None:
    balance = FAMO()
    assert balance(leaves_of([0.0, 1.0])).isfinite()
    balance.after_step(leaves_of([0.0, 1.0]))
    balance(leaves_of([0.5, 1.0]))
    assert all(map(math.isfinite, balance.weights.values()))


def test_adapmtl_is_its_formula_over_a_window() -> None:
    balance = RelativeChange(window=4, begin=3)
    history = (torch.rand(14, 3, generator=torch.Generator().manual_seed(2)) + 0.1).tolist()
    changes: list[list[float]] = []
    for step, values in enumerate(history):
        balance(leaves_of(values))
        seen = changes[:-1][-4:]  # the newest is of the call that is being weighted
        means = [sum(each) / len(each) for each in zip(*seen, strict=True)] if step >= 3 else [1.0] * 3
        expected = [3 * mean / sum(means) for mean in means]
        assert list(balance.weights.values()) == pytest.approx(expected, rel=1e-4)
        if step + 1 < len(history):
            changes.append([abs(a - b) / b for a, b in zip(values, history[step + 1], strict=True)])


def test_adapmtl_keeps_what_an_absent_task_had() -> None:
    balance = RelativeChange(begin=0)
    for a, b in ((4.0, 2.0), (2.0, 1.0)):
        balance({"a": torch.tensor(a), "b": torch.tensor(b)})
    for _ in range(3):
        balance({"a": torch.tensor(2.0)})
    balance({"a": torch.tensor(2.0), "b": torch.tensor(1.0), "new": torch.tensor(1.0)})
    assert balance.weights["b"] == pytest.approx(4 * balance.weights["a"])
    assert balance.weights["new"] == pytest.approx((balance.weights["a"] + balance.weights["b"]) / 2)
    balance.reset()
    for _ in range(3):  # nothing moves: all are equal
        balance({"a": torch.tensor(0.0), "b": torch.tensor(1.0)})
    assert balance.weights == {"a": 1.0, "b": 1.0}


def test_imtl_l_brings_losses_to_one_size() -> None:
    balance = IMTLL(lr=0.05)
    scales = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.SGD([scales], lr=0.05)
    for step in range(300):
        values = torch.tensor([5.0 + math.sin(step), 0.25])
        optimizer.zero_grad()
        expected = (scales.exp() * values - scales).sum()
        value = balance(leaves_of(values.tolist()))
        assert value.item() == pytest.approx(expected.item(), rel=1e-4)
        expected.backward()
        optimizer.step()
    assert balance.weights == pytest.approx({"a": 0.2, "b": 4.0}, rel=0.1)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (FAMO, {"lr": 0.0}, "FAMO: lr must be a number above 0; got 0.0"),
        (FAMO, {"weight_decay": -1.0}, "FAMO: weight_decay must be a number of at least 0"),
        (GradNorm, {"alpha": -1.0}, "GradNorm: alpha must be a number of at least 0"),
        (GradNorm, {"lr": math.inf}, "GradNorm: lr must be a number above 0"),
        (STCH, {"mu": 0.0}, "STCH: mu must be a number above 0"),
        (RelativeChange, {"window": 0}, "AdapMTL: window must be at least 1; got 0"),
        (RelativeChange, {"begin": -1}, "AdapMTL: begin must be at least 0; got -1"),
    ],
)
def test_options_outside_are_refused(make: Callable[..., Balancer], options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        make(**options)
