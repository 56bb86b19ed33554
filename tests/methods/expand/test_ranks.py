"""Factors that are kept: the budget is met, what was planned is what is measured, and files replay it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.methods.expand.networks import batches, step, two
from torch import nn

import niwaki as nw
from niwaki.errors import BudgetError
from niwaki.methods import Chain, Overparam, StructuredPruning
from niwaki.methods.expand.layers import candidates, reach_of
from niwaki.methods.expand.ranks import prices, ranks_within
from niwaki.records import Folding
from niwaki.records.factoring import Factoring
from niwaki.settings import Budget
from niwaki.surgery import factor

EXAMPLE = torch.zeros(1, 3, 8, 8)
LAYERS: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(5, 7), (3, 4, 5)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1), (1, 4, 9)),
    (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 0)), (2, 4, 9, 13)),
    (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 7, 6)),
    (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (1, 4, 5, 6)),
    (nn.Conv3d(2, 3, (3, 2, 2)), (1, 2, 5, 4, 6)),
]


@pytest.mark.parametrize(("layer", "shape"), LAYERS, ids=lambda value: str(value)[:50])
@pytest.mark.parametrize("unit", ["params", "macs"])
def test_prices_are_what_is_measured(layer: nn.Module, shape: tuple[int, ...], unit: str) -> None:
    net, x = nn.Sequential(layer), torch.zeros(shape)
    found, _ = candidates(net, reach_of(net, x, None))
    price = prices(net, found, x, unit)["0"]
    whole = nw.measure(net, x).whole
    apart = nw.measure(factor(net, Factoring(ranks={"0": 2})), x).whole
    bias = layer.get_parameter("bias").numel() if unit == "params" else 0
    assert price.whole == getattr(whole, unit) - bias
    assert 2 * price.each == getattr(apart, unit) - bias
    assert price.of(1000) == price.whole


@pytest.mark.parametrize("budget", [Budget(params=0.5), Budget(macs=0.7), Budget(params=500)])
def test_a_budget_is_met_and_nearly_used_up(budget: Budget) -> None:
    net = two()
    model, run = Overparam(keep_factored=True, budget=budget, alternate="joint").start(net, EXAMPLE, steps=2)
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2))
    for batch in batches(2):
        model = step(model, run, optimizer, batch)
    small = run.finish(model)
    dense, left = (getattr(nw.measure(each, EXAMPLE).whole, budget.kind) for each in (net, small))
    share = left / dense
    assert 0.85 * budget.share_of(dense) < share <= budget.share_of(dense)
    found = run.findings()["folding"]
    assert isinstance(found, Folding)
    assert found.factored
    assert found.largest_difference < 1e-5


def test_layers_lose_what_they_need_least() -> None:
    net = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 16))
    with torch.no_grad():
        for layer, rank in zip(net, (2, 12), strict=True):
            left, right = (torch.randn(16, rank, generator=torch.Generator().manual_seed(rank + i)) for i in range(2))
            layer.get_parameter("weight").copy_(left @ right.T)
    found, _ = candidates(net, reach_of(net, torch.zeros(1, 16), None))
    assert ranks_within(net, found, torch.zeros(1, 16), None, Budget(params=0.65)) == {"0": 2}


def test_out_of_reach_is_refused_with_what_can_be_had() -> None:
    with pytest.raises(BudgetError, match=r"with every layer of rank 1, 0\.\d+ of the [\d,]+ params stay"):
        Overparam(keep_factored=True, budget={"params": 0.01}).start(two(), EXAMPLE, steps=2)


def test_layers_of_the_users_own_classes_stay_whole() -> None:
    class Own(nn.Conv2d):
        pass

    net = nn.Sequential(Own(3, 8, 3), nn.Conv2d(8, 8, 3))
    model, run = Overparam(keep_factored=True, rank=0.25).start(net, EXAMPLE, steps=0)
    small = run.finish(model)
    assert type(small.get_submodule("0")) is Own
    assert isinstance(small.get_submodule("1"), nn.Sequential)


@pytest.mark.parametrize("later", [False, True])
def test_files_replay_the_factors_and_the_cut_after_them(later: bool, tmp_path: Path) -> None:
    parts: list[Any] = [Overparam(keep_factored=True, rank=0.5, alternate="joint")]
    parts += [StructuredPruning(budget=Budget(channels=0.5), round_to=2)] if later else []
    model, run = Chain(parts).start(two(), EXAMPLE, steps=4)
    optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=1e-2))
    for batch in batches(4):
        model = step(model, run, optimizer, batch)
    small = run.finish(model).eval()
    nw.save(small, tmp_path / "small.safetensors")
    again = nw.load(two().eval(), tmp_path / "small.safetensors")
    x = batches(1)[0][0]
    for one, other in zip(small(x).values(), again(x).values(), strict=True):
        assert torch.equal(one, other)
    nw.export(again, EXAMPLE, tmp_path / "small.onnx")


def test_a_resumed_run_keeps_the_ranks_it_chose() -> None:
    method = Overparam(keep_factored=True, budget=Budget(params=0.5))
    model, run = method.start(two(), EXAMPLE, steps=2)
    fresh = two()
    with torch.no_grad():
        for each in fresh.parameters():
            each.copy_(torch.randn(each.shape, generator=torch.Generator().manual_seed(each.numel())) ** 3)
    other, _ = method.start(fresh, EXAMPLE, steps=2)
    assert {name: each.shape for name, each in other.named_parameters()} != {
        name: each.shape for name, each in model.named_parameters()
    }
    again, resumed = method.resume(fresh, EXAMPLE, steps=2, state=run.state_dict())
    again.load_state_dict(model.state_dict())
    assert all(map(torch.equal, run.finish(model).parameters(), resumed.finish(again).parameters()))
