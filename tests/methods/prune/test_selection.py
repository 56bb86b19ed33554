"""Whose channels go: globally the lowest, inside a scope, down to least widths; one plan on another checkpoint."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import BudgetError, ContractError
from niwaki.graph import find_channels, trace
from niwaki.tasks import Task


def sizes(plan: nw.Plan) -> dict[str, int]:
    return {group.name: len(group.kept) for group in plan.groups}


def test_globally_the_lowest_go_wherever_they_are(tiny: nn.Module, example: Tensor) -> None:
    channels = find_channels(trace(tiny, example))
    chance = nw.RandomScore(seed=0)
    scores = chance.score(tiny, channels)
    plan = nw.plan(tiny, example, channels=0.75, allocation="global", criterion=chance, round_to=1)
    kept = {channels.groups[i].classes[j] for i, group in enumerate(plan.groups) for j in group.kept}
    order = np.flatnonzero(channels.removable)[np.argsort(scores[channels.removable])]
    assert kept == set(order[7:].tolist())
    assert sizes(plan) != sizes(nw.plan(tiny, example, channels=0.75, round_to=1))


def test_floors_and_least_widths_hold(tiny: nn.Module, example: Tensor) -> None:
    with torch.no_grad():
        tiny.get_parameter("second.0.weight").mul_(1e-3)
        tiny.get_parameter("depth.0.weight").mul_(1e-3)
    options: dict[str, Any] = {"channels": 0.5, "allocation": "global", "round_to": 1}
    assert sizes(nw.plan(tiny, example, **options))["second.0"] == 1
    floored = sizes(nw.plan(tiny, example, floor=4, **options))
    assert min(floored.values()) == 4
    assert sum(floored.values()) == 14
    wide = sizes(nw.plan(tiny, example, widths={"second*": 7, "second.0": 6}, **options))
    assert wide["second.0"] == 7
    assert sum(wide.values()) == 14
    with pytest.raises(ContractError, match="widths: 'secnd' fits no module or parameter"):
        nw.plan(tiny, example, widths={"secnd": 3}, **options)
    with pytest.raises(ContractError, match=r"widths: 'first.1' holds no layer that makes channels"):
        nw.plan(tiny, example, widths={"first.1": 3}, **options)


def test_a_scope_is_trunk_or_heads(tiny: nn.Module, example: Tensor, tasks: list[Task]) -> None:
    trunk = nw.plan(tiny, example, tasks=tasks, channels=0.5, scope="trunk", round_to=1)
    heads = nw.plan(tiny, example, tasks=tasks, channels=0.5, scope="heads", round_to=1)
    assert sizes(trunk) == {"first.0": 6, "second.0": 5}
    assert sizes(heads) == {"depth.0": 3}
    assert "outside the scope 'trunk'" in trunk.why("depth.0")
    assert "outside the scope 'heads'" in heads.why("first.0")
    for plan in (trunk, heads):
        assert plan.reached["channels"] == 0.5
        plan.apply(tiny)


def test_with_one_task_everything_is_trunk(example: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 2, 1))
    assert sizes(nw.plan(net, example, channels=0.5, scope="trunk", round_to=1)) == {"0": 4}
    with pytest.raises(BudgetError, match="outside the scope 'heads'"):
        nw.plan(net, example, channels=0.5, scope="heads", round_to=1)


def test_one_plan_cuts_another_checkpoint_of_the_same_model(tiny: nn.Module, example: Tensor) -> None:
    plan = nw.plan(tiny, example, channels=0.5, round_to=1)
    torch.manual_seed(5)
    other = type(tiny)()
    small = plan.apply(other)
    kept = list(plan.group("first.0").kept)
    assert torch.equal(small.get_parameter("first.0.weight"), other.get_parameter("first.0.weight")[kept])


def test_criteria_of_gradients_work_in_one_line(
    tiny: nn.Module, example: Tensor, tasks: list[Task], batches: Any
) -> None:
    small = nw.prune(tiny, example, tasks=tasks, data=batches, criterion=nw.CosPrune(), macs=0.5, round_to=1)
    again = nw.prune(tiny, example, tasks=tasks, data=batches, criterion="cos", macs=0.5, round_to=1)
    assert all(torch.equal(a, b) for a, b in zip(small.parameters(), again.parameters(), strict=True))
    with pytest.raises(ContractError, match="give `data`"):
        nw.prune(tiny, example, tasks=tasks, criterion="cos", macs=0.5, round_to=1)


@pytest.mark.parametrize("half", [False, True])
def test_a_budget_in_bytes_is_what_is_measured(tiny: nn.Module, example: Tensor, half: bool) -> None:
    net = tiny.to(torch.float64) if half else tiny
    x = example.to(torch.float64) if half else example
    plan = nw.plan(net, x, bytes=0.5, round_to=1)
    dense, small = nw.measure(net, x).whole.bytes, nw.measure(plan.apply(net), x).whole.bytes
    assert plan.reached["bytes"] == small / dense
    assert 0.4 < small / dense <= 0.5
    assert nw.plan(net, x, bytes=small, round_to=1).reached["bytes"] <= plan.reached["bytes"]
