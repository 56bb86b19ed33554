"""Weights from losses alone: each formula against its closed form or torch's own optimizer."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from niwaki.balance import DWA, Equal, Uncertainty
from niwaki.errors import SettingError

TASKS = ("segmentation", "depth", "normals")


def _losses(*values: float, tasks: tuple[str, ...] = TASKS) -> dict[str, Tensor]:
    return {task: torch.tensor(value) for task, value in zip(tasks, values, strict=True)}


def _batches(seed: int, count: int) -> Iterator[dict[str, Tensor]]:
    """Losses of random tasks of a batch: some batches lack a task, one lacks all."""
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        values = torch.rand(3, generator=generator) * 3
        there = torch.rand(3, generator=generator) < 0.7
        yield {task: values[i] for i, task in enumerate(TASKS) if there[i]}


@given(st.lists(st.floats(0, 100, width=32), min_size=1, max_size=5))
def test_equal_is_the_plain_sum(values: list[float]) -> None:
    losses = {str(i): torch.tensor(value) for i, value in enumerate(values)}
    balance = Equal()
    assert balance(losses).item() == pytest.approx(math.fsum(values), rel=1e-5, abs=1e-6)
    assert set(balance.weights.values()) == {1.0}


def test_dwa_is_its_formula_on_epoch_means() -> None:
    balance = DWA(temperature=2.0)
    epochs = [[(1.0, 4.0, 2.0), (3.0, 2.0, 2.0)], [(1.0, 3.0, 1.5), (2.0, 3.0, 2.5)], [(0.5, 0.5, 0.5)]]
    for epoch in epochs[:2]:
        for values in epoch:
            assert balance(_losses(*values)).item() == pytest.approx(sum(values))
        balance.end_epoch()
    ratios = [1.5 / 2, 3 / 3, 2 / 2]
    heights = [math.exp(ratio / 2.0) for ratio in ratios]
    weights = [3 * height / sum(heights) for height in heights]
    assert balance(_losses(*epochs[2][0])).item() == pytest.approx(0.5 * sum(weights), rel=1e-6)
    assert list(balance.weights.values()) == pytest.approx(weights, rel=1e-6)
    assert sum(balance.weights.values()) == pytest.approx(3)


def test_dwa_means_match_a_long_epoch() -> None:
    balance = DWA()
    values = (torch.rand(2000, generator=torch.Generator().manual_seed(0)) + 0.5).tolist()
    for value in values:
        balance(_losses(value, tasks=("depth",)))
    balance.end_epoch()
    assert balance.state_dict()["history"]["depth"] == [pytest.approx(math.fsum(values) / 2000, rel=1e-6)]


def test_dwa_keeps_the_means_of_a_task_without_batches() -> None:
    balance = DWA()
    for losses in (
        _losses(4.0, 2.0, tasks=TASKS[:2]),
        _losses(2.0, 2.0, tasks=TASKS[:2]),
        _losses(1.0, tasks=TASKS[:1]),
    ):
        balance(losses)
        balance.end_epoch()
    assert balance.state_dict()["history"] == {"segmentation": [2.0, 1.0], "depth": [2.0, 2.0]}


def test_dwa_stands_still_where_a_loss_was_zero_or_is_new() -> None:
    balance = DWA()
    for losses in (_losses(0.0, 1.0, tasks=TASKS[:2]), _losses(1.0, 1.0, 5.0)):
        balance(losses)
        balance.end_epoch()
    balance(_losses(1.0, 1.0, 1.0))
    assert balance.weights == pytest.approx(dict.fromkeys(TASKS, 1.0))


def test_dwa_needs_a_positive_temperature() -> None:
    for temperature in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(SettingError, match="temperature"):
            DWA(temperature=temperature)


def test_uncertainty_is_joint_training_with_torchs_adam() -> None:
    """The oracle puts the log-variances into the graph and steps them with `torch.optim.Adam`."""
    log_variances = {task: torch.tensor(-0.5, requires_grad=True) for task in TASKS}
    optimizer = torch.optim.Adam(log_variances.values(), lr=0.05)
    balance = Uncertainty(lr=0.05)
    for losses in _batches(5, 60):
        optimizer.zero_grad()
        terms = [loss / (2 * log_variances[t].exp()) + log_variances[t] / 2 for t, loss in losses.items()]
        expected = torch.stack(terms).sum() if terms else torch.zeros((), requires_grad=True)
        expected.backward()
        optimizer.step()
        assert balance(losses).item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    assert balance.log_variances == pytest.approx({t: s.item() for t, s in log_variances.items()}, rel=1e-4)


def test_uncertainty_converges_to_the_log_of_a_fixed_loss() -> None:
    balance = Uncertainty(lr=0.05)
    for _ in range(600):
        balance(_losses(0.2, 1.0, 7.0))
    expected = {t: math.log(loss) for t, loss in zip(TASKS, (0.2, 1.0, 7.0), strict=True)}
    assert balance.log_variances == pytest.approx(expected, abs=0.02)


def test_uncertainty_takes_losses_of_low_precision() -> None:
    loss = torch.tensor(2.0, dtype=torch.bfloat16, requires_grad=True)
    value = Uncertainty(initial=0.0)({"depth": loss})
    value.backward()
    assert value.dtype == torch.float32
    assert loss.grad is not None
    assert loss.grad.item() == 0.5


def test_uncertainty_needs_sensible_options() -> None:
    with pytest.raises(SettingError, match="lr must be"):
        Uncertainty(lr=0)
    with pytest.raises(SettingError, match="initial must be"):
        Uncertainty(initial=math.nan)
