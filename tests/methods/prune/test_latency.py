"""Budgets in milliseconds: the search against a clock that is known, and once against a real runtime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import BudgetError, SettingError
from niwaki.graph import Layer, find_channels, planned_layers, trace
from niwaki.measure import layer_table
from niwaki.methods.prune import latency
from niwaki.methods.prune.forecast import forecast


@pytest.fixture(autouse=True)
def layers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A clock for single layers that takes a microsecond a weight; it notes how many it timed at once."""
    asked: list[int] = []

    def tick(layers: Sequence[Layer], _runtime: str) -> list[float]:
        asked.append(len(layers))
        return [each.work / 1000 for each in layers]

    monkeypatch.setenv("NIWAKI_CACHE", str(tmp_path))
    monkeypatch.setattr(layer_table, "time_layers", tick)
    return asked


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A clock that takes a millisecond, and one more for each thousand parameters; it notes what it timed."""
    timed: list[int] = []

    def tick(model: nn.Module, subject: Any, budget: nw.Budget) -> float:
        timed.append(sum(each.numel() for each in model.parameters()))
        return 1 + timed[-1] / 1000

    monkeypatch.setattr(latency, "_milliseconds", tick)
    return timed


@pytest.fixture
def net() -> nn.Module:
    """A network wide enough to be cut finely."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 40, 1), nn.ReLU(), nn.Conv2d(40, 40, 1), nn.ReLU(), nn.Conv2d(40, 2, 1))


def test_the_largest_network_in_time_is_found(net: nn.Module, example: Tensor, clock: list[int]) -> None:
    plan = nw.plan(net, example, latency_ms=2.0, round_to=1)
    small = plan.apply(net)
    params = sum(each.numel() for each in small.parameters())
    assert 0.97 * 2.0 <= 1 + params / 1000 <= 2.0
    assert len(clock) <= 8
    dense = sum(each.numel() for each in net.parameters())
    assert plan.reached["latency_ms"] == pytest.approx((1 + params / 1000) / (1 + dense / 1000))
    assert plan.asked.startswith("latency_ms=2 in onnxruntime, criterion=magnitude")
    assert "measured in onnxruntime" in plan.notes[-1]


def test_a_network_that_is_fast_enough_stays_whole(net: nn.Module, example: Tensor, clock: list[int]) -> None:
    plan = nw.plan(net, example, latency_ms=50.0, round_to=1)
    assert plan.reached["channels"] == plan.reached["latency_ms"] == 1
    assert len(clock) == 1


def test_what_no_network_reaches_is_refused(net: nn.Module, example: Tensor, clock: list[int]) -> None:
    with pytest.raises(BudgetError, match=r"the smallest network takes 1.0\d* ms in onnxruntime \(the dense one 2.88"):
        nw.plan(net, example, latency_ms=0.5, round_to=1)


def test_a_run_meets_it_in_one_cut(net: nn.Module, example: Tensor, clock: list[int]) -> None:
    budget = nw.Budget(latency_ms=2.0, runtime="eager")
    model, run = nw.StructuredPruning(budget=budget, round_to=1).start(net, example, steps=4)
    assert 1 + sum(each.numel() for each in model.parameters()) / 1000 <= 2.0
    assert run.settled
    with pytest.raises(SettingError, match="a latency is met in one cut"):
        nw.StructuredPruning(budget=budget, rounds=2)


def test_a_real_runtime_is_asked(net: nn.Module, example: Tensor) -> None:
    plan = nw.plan(net, example, budget=nw.Budget(latency_ms=1e4, runtime="eager"))
    assert "measured in eager" in plan.notes[-1]
    with pytest.raises(SettingError, match="unknown runtime 'abacus'"):
        nw.plan(net, example, budget=nw.Budget(latency_ms=1.0, runtime="abacus"))


def test_layers_are_timed_once_and_then_looked_up(
    net: nn.Module, example: Tensor, clock: list[int], layers: list[int]
) -> None:
    for _ in range(2):
        nw.plan(net, example, latency_ms=2.0, round_to=1)
    assert layers == [6]


def test_a_forecast_that_is_right_needs_one_try(net: nn.Module, example: Tensor, clock: list[int]) -> None:
    nw.plan(net, example, latency_ms=2.0, round_to=1)
    assert len(clock) == 3  # the dense network, the smallest, and the one that was forecast


def test_a_forecast_adds_up_the_layers_between_their_ends(net: nn.Module, example: Tensor) -> None:
    channels = find_channels(trace(net, example))
    keeps = [np.ones(channels.count, dtype=bool) for _ in range(3)]
    for keep, left in zip(keeps, (40, 20, 8), strict=True):
        for group in channels.groups:
            keep[group.classes[left:]] = False
    whole, half, least = keeps
    weigh = forecast(channels, "eager", whole, least)
    assert weigh(half) == pytest.approx(sum(layer.work for layer in planned_layers(channels, half)) / 1000)
    assert (weigh(whole), weigh(least)) == pytest.approx(((120 + 1600 + 80) / 1000, (24 + 64 + 16) / 1000))


def test_where_layers_cannot_be_timed_alone_multiply_accumulates_are_the_forecast(
    net: nn.Module, example: Tensor
) -> None:
    channels = find_channels(trace(net, example))
    keep = np.ones(channels.count, dtype=bool)
    assert forecast(channels, "abacus", keep, keep)(keep) == nw.measure(net, example).whole.macs
