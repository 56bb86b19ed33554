"""Limits on each task's loss against losses of networks that were really cut; sensitivity against the same."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import BudgetError, DataError, SettingError
from niwaki.graph import find_channels, trace
from niwaki.methods.calibration import Calibration
from niwaki.methods.prune.limits import limits_of
from niwaki.methods.prune.thinning import Thinning, silenced
from niwaki.tasks import Task


def taught(net: nn.Module, tasks: list[Task], batches: Any, steps: int) -> nn.Module:
    """Train a network, so that it has something to lose."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for step in range(steps):
        x, targets = batches[step % 4]
        optimizer.zero_grad()
        torch.stack(list(nw.task_losses(tasks, net(x), targets).values())).sum().backward()
        optimizer.step()
    return net.eval()


@pytest.fixture
def trained(tiny: nn.Module, batches: Any, tasks: list[Task]) -> nn.Module:
    """A tiny network that was trained."""
    return taught(tiny, tasks, batches, 40)


def losses(model: nn.Module, tasks: list[Task], batches: Any) -> dict[str, float]:
    return Calibration(tuple(tasks), tuple(batches)).mean_losses(model)


def test_the_cut_network_keeps_every_limit_and_no_layer_can_give_more(
    trained: nn.Module, example: Tensor, tasks: list[Task], batches: Any
) -> None:
    limits = {"depth": 0.02, "*": 0.05}
    options: dict[str, Any] = {"tasks": tasks, "data": batches, "round_to": 1}
    plan = nw.plan(trained, example, limits=limits, calibration_batches=4, **options)
    dense, small = losses(trained, tasks, batches[:4]), losses(plan.apply(trained), tasks, batches[:4])
    assert 0 < plan.reached["macs"] < 1
    assert small["depth"] <= dense["depth"] * 1.02
    assert small["classes"] <= dense["classes"] * 1.05
    assert "depth loses at most 0.02" in plan.asked
    looser = nw.plan(trained, example, limits={"*": 0.5}, calibration_batches=4, **options)
    assert looser.reached["macs"] < plan.reached["macs"]


def test_limits_that_allow_nothing_are_refused(
    trained: nn.Module, example: Tensor, tasks: list[Task], batches: Any
) -> None:
    with pytest.raises(BudgetError, match="nothing can go within the limits"):
        nw.plan(trained, example, tasks=tasks, data=batches, limits={"*": 0.0}, round_to=6)


def test_limits_fit_the_tasks_and_the_labels(
    trained: nn.Module, example: Tensor, tasks: list[Task], batches: Any
) -> None:
    with pytest.raises(SettingError, match="the task 'normals' has none; add one, or"):
        limits_of({"depth": 0.1}, ["depth", "normals"])
    with pytest.raises(SettingError, match="'dept' is none of the tasks depth"):
        limits_of({"dept": 0.1, "*": 0.1}, ["depth"])
    with pytest.raises(SettingError, match="exactly one goal"):
        nw.plan(trained, example, limits={"*": 0.1}, macs=0.5)
    poor = [(x, {"depth": targets["depth"]}) for x, targets in batches]
    with pytest.raises(DataError, match="hold no label of classes"):
        nw.plan(trained, example, tasks=tasks, data=poor, limits={"*": 0.1})


def test_a_run_shrinks_to_its_limits(trained: nn.Module, example: Tensor, tasks: list[Task], batches: Any) -> None:
    method = nw.StructuredPruning(limits={"*": 0.1}, round_to=1, calibration_batches=4)
    model, run = method.start(trained, example, tasks, steps=4, data=batches)
    dense, small = losses(trained, tasks, batches[:4]), losses(model, tasks, batches[:4])
    assert all(small[task] <= 1.1 * dense[task] for task in dense)
    assert run.settled
    assert nw.StructuredPruning(**method.model_dump(mode="json")) == method


def test_silenced_channels_answer_like_cut_ones(trained: nn.Module, example: Tensor, batches: Any) -> None:
    plan = nw.plan(trained, example, channels=0.5, round_to=1)
    channels = find_channels(trace(trained, example))
    gone = np.zeros(channels.count, dtype=np.bool_)
    for (name, dim), positions in plan.removed_positions().items():
        labels = channels.tensors[name][dim]
        assert labels is not None
        gone[labels[positions]] = True
    expected, found = plan.apply(trained)(batches[0][0]), silenced(trained, channels, gone)(batches[0][0])
    for task, answer in expected.items():
        torch.testing.assert_close(found[task], answer, atol=1e-5, rtol=1e-4)


class Normed(nn.Module):
    """Layer norms take their statistics from the channels that are there: zeros among them are not the same."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(6, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 24), nn.LayerNorm(24), nn.ReLU()
        )
        self.age, self.size = nn.Linear(24, 1), nn.Linear(24, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.trunk(x)
        return {"age": self.age(y), "size": self.size(y)}


@pytest.mark.parametrize("limit", [0.3, 1.0, 3.0])
def test_limits_are_kept_where_norms_look_at_the_features(limit: float) -> None:
    torch.manual_seed(0)
    known: list[Task] = [nw.Regression(name="age"), nw.Regression(name="size")]
    x = torch.randn(4, 32, 6)
    data = [(each, {"age": each[:, :1] * each[:, 1:2], "size": each.sum(1, keepdim=True)}) for each in x]
    net = taught(Normed(), known, data, 100)
    plan = nw.plan(net, x[0], tasks=known, data=data, limits={"*": limit}, round_to=1)
    small = plan.apply(net)
    before, after = losses(net, known, data), losses(small, known, data)
    assert plan.reached["macs"] < 1
    assert all(after[task] <= (1 + limit) * before[task] for task in before)
    table = nw.sensitivity(net, x[0], known, data, criterion="magnitude")
    half = nw.plan(net, x[0], channels=0.5, round_to=1)
    row = table.groups[0]
    alone = [group.name for group in half.groups if group.name != row.group]
    for name in alone:
        half = half.veto(name)
    cut = losses(half.apply(net), known, data)
    assert row.rise == pytest.approx({task: cut[task] / before[task] - 1 for task in before}, rel=1e-4)


class Written(nn.Module):
    """Its code has a width written in it, so that a graph would come back, and runs at others all the same."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(2, 8), norm, nn.Linear(8, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        y = self.norm(self.first(x))
        return {"age": self.last(torch.cat([y[:, :4].relu(), y[:, 4:].sin()], 1))}


@pytest.mark.parametrize("norm", [nn.Identity(), nn.LayerNorm(8)])
def test_losses_of_what_can_not_follow_a_cut_are_taken_by_zeros(norm: nn.Module) -> None:
    net, x = Written(norm).eval(), torch.randn(5, 2)
    channels = find_channels(trace(net, x))
    gone = channels.removable.copy()
    gone[channels.tensors["first.weight"][0][4:]] = False  # type: ignore[index]  # a linear layer's rows are labelled
    calibration = Calibration((nw.Regression(name="age"),), ((x, {"age": torch.ones(5, 1)}),))
    expected = calibration.mean_losses(silenced(net, channels, gone))
    assert Thinning(net, channels, calibration).losses(gone) == expected


def test_sensitivity_is_the_loss_of_networks_cut_in_one_group_alone(
    trained: nn.Module, example: Tensor, tasks: list[Task], batches: Any
) -> None:
    table = nw.sensitivity(trained, example, tasks, batches[:3], share=0.5)
    dense = losses(trained, tasks, batches[:3])
    assert table.losses == dense
    half = nw.plan(trained, example, channels=0.5, round_to=1)
    assert [row.group for row in table.groups] == [group.name for group in half.groups]
    for row in table.groups:
        plan = half
        for other in half.groups:
            plan = plan if other.name == row.group else plan.veto(other.name)
        cut = plan.apply(trained)
        found = losses(cut, tasks, batches[:3])
        assert row.removed == row.channels // 2
        for task, before in dense.items():
            assert row.rise[task] == pytest.approx((found[task] - before) / before, abs=1e-4)
        saved = 1 - nw.measure(cut, example).whole.macs / nw.measure(trained, example).whole.macs
        assert row.macs == pytest.approx(saved)
        assert row.worst == max(row.rise.values())
    assert table.group("depth.0") is not None
    assert table.group("depth.0").rise["classes"] == 0  # type: ignore[union-attr]  # it is there
    assert type(table).from_json(table.to_json()) == table
    assert "6 of 12" in str(table)


def test_sensitivity_needs_a_share_and_labels(
    trained: nn.Module, example: Tensor, tasks: list[Task], batches: Any
) -> None:
    with pytest.raises(SettingError, match="share lies in"):
        nw.sensitivity(trained, example, tasks, batches, share=0)
    poor = [(x, {"depth": targets["depth"]}) for x, targets in batches]
    with pytest.raises(DataError, match="hold no label of classes"):
        nw.sensitivity(trained, example, tasks, poor)
