"""Optimizers follow a cut: kept channels carry their state, checked by a slow loop over elements."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from tests.surgery.choosing import choose, find, plan_of
from tests.surgery.nets import Residual, compiled, image, tensor
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import SurgeryError
from niwaki.records import Plan as PlanRecord
from niwaki.surgery import cut, follow, plans_of

OPTIMIZERS: dict[str, Callable[[Iterable[Any]], Optimizer]] = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1),
    "momentum": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-2, amsgrad=True),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-2, weight_decay=0.1),
    "capturable": lambda groups: torch.optim.AdamW(groups, lr=1e-2, foreach=False),
    "rmsprop": lambda groups: torch.optim.RMSprop(groups, lr=1e-2, momentum=0.5, centered=True),
    "adafactor": lambda groups: torch.optim.Adafactor(groups, lr=1e-2),
}


def trained(make: Callable[[Iterable[Any]], Optimizer]) -> tuple[Residual, Optimizer]:
    torch.manual_seed(0)
    model = Residual()
    norms = [p for p in model.parameters() if p.ndim == 1]
    rest = [p for p in model.parameters() if p.ndim > 1]
    optimizer = make([{"params": rest, "lr": 0.05}, {"params": norms, "weight_decay": 0.0}])
    for _ in range(3):
        step(model, optimizer)
    return model, optimizer


def step(model: nn.Module, optimizer: Optimizer) -> None:
    optimizer.zero_grad()
    model(image()).square().mean().backward()
    optimizer.step()


def small_of(model: nn.Module) -> nn.Module:
    channels = find(model, image())
    return cut(model, plan_of(channels, choose(channels), image()), channels=channels)


def by_slow_loop(value: Tensor, name: str, plan: PlanRecord, shape: torch.Size) -> Tensor:
    """Keep each element none of whose positions was removed."""
    removed = plan.removed_positions()
    elements = []
    for flat in range(value.numel()):
        place = [int(i) for i in torch.unravel_index(torch.tensor(flat), value.shape)]
        if not any(place[d] in removed.get((name, d), []) for d in range(len(place)) if value.shape[d] > 1):
            elements.append(value.flatten()[flat])
    return torch.stack(elements).reshape(shape)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_kept_channels_carry_their_state(kind: str) -> None:
    model, optimizer = trained(OPTIMIZERS[kind])
    options = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    order = [[id(p) for p in group["params"]] for group in optimizer.param_groups]
    names = {id(p): name for name, p in model.named_parameters()}
    before = {names[id(p)]: dict(state) for p, state in optimizer.state.items()}
    small = small_of(model)
    plan = plans_of(small)[0]
    follow(optimizer, model, small, plan)
    after = dict(small.named_parameters())
    assert [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups] == options
    for ids, group in zip(order, optimizer.param_groups, strict=True):
        assert all(after[names[i]] is p for i, p in zip(ids, group["params"], strict=True))
    assert len(optimizer.state) == len(before)
    for name, old in before.items():
        new = optimizer.state[after[name]]
        assert new.keys() == old.keys()
        for key, value in old.items():
            if isinstance(value, Tensor) and value.ndim:
                assert torch.equal(new[key], by_slow_loop(value, name, plan, new[key].shape)), (name, key)
                assert all(a in {1, b} for a, b in zip(new[key].shape, after[name].shape, strict=False))
            else:
                assert new[key] == value
    step(small, optimizer)


def test_the_schedule_goes_on_and_other_parameters_are_left_alone() -> None:
    model = Residual()
    extra = nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.SGD([*model.parameters(), extra], lr=1.0, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    step(model, optimizer)
    schedule.step()
    small = small_of(model)
    follow(optimizer, model, small, plans_of(small)[0])
    assert optimizer.param_groups[0]["params"][-1] is extra
    before = [p.clone() for p in small.parameters()]
    step(small, optimizer)
    schedule.step()
    assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0] == 0.25
    assert any(not torch.equal(p, old) for p, old in zip(small.parameters(), before, strict=True))


def test_training_goes_on_as_with_the_silenced_model() -> None:
    """A removed channel whose weights, gradients and momenta are zero is no channel: both models take the same step."""
    model = nn.Sequential(nn.Linear(3, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    x = torch.randn(5, 3)
    for _ in range(2):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    channels = find(model, x)
    plan = plan_of(channels, choose(channels), x)
    small = cut(model, plan, channels=channels)
    twin = torch.optim.Adam(model.parameters(), lr=1e-2)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    follow(optimizer, model, small, plan)
    gone = plan.removed_positions()[("0.weight", 0)]
    with torch.no_grad():
        tensor(model, "0.weight")[gone] = 0.0
        tensor(model, "2.weight")[:, gone] = 0.0
    pairs: list[tuple[nn.Module, Optimizer]] = [(model, twin), (small, optimizer)]
    for net, its in pairs:
        its.zero_grad()
        net(x).square().mean().backward()
        its.step()
    stays = [i for i in range(6) if i not in gone]
    torch.testing.assert_close(tensor(small, "0.weight"), tensor(model, "0.weight")[stays])
    torch.testing.assert_close(tensor(small, "2.weight"), tensor(model, "2.weight")[:, stays])


@pytest.mark.parametrize("after_too", [True, False])
def test_compiled_models_are_followed_through_their_wrapper(after_too: bool) -> None:
    model = Residual()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step(model, optimizer)
    small = small_of(model)
    follow(optimizer, compiled(model), compiled(small) if after_too else small, plans_of(small)[0])
    assert {id(p) for p in optimizer.param_groups[0]["params"]} == {id(p) for p in small.parameters()}


def test_an_optimizer_of_another_model_is_refused() -> None:
    model = Residual()
    small = small_of(model)
    other = torch.optim.SGD(Residual().parameters(), lr=0.1)
    with pytest.raises(SurgeryError, match="holds no parameter of the model before the cut"):
        follow(other, model, small, plans_of(small)[0])
    mine = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(SurgeryError, match=r"no parameter 'stem.0.weight'; it is not a cut"):
        follow(mine, model, nn.Linear(2, 2), plans_of(small)[0])


def test_a_state_without_channels_is_refused_and_nothing_moves() -> None:
    model, optimizer = trained(OPTIMIZERS["momentum"])
    small = small_of(model)
    first = tensor(model, "stem.0.weight")
    optimizer.state[first]["flat"] = torch.zeros(first.numel())
    with pytest.raises(SurgeryError, match=r"keeps 'flat' of 'stem.0.weight' as a tensor of shape"):
        follow(optimizer, model, small, plans_of(small)[0])
    assert optimizer.param_groups[0]["params"][0] is first


def test_models_and_optimizers_set_up_by_fabric_are_followed() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    model = Residual()
    wrapped, optimizer = fabric.setup(model, torch.optim.AdamW(model.parameters(), lr=1e-2))
    step(wrapped, optimizer)
    small = small_of(model)
    assert str(plans_of(small)[0].apply(wrapped, verify=False)) == str(small)
    follow(optimizer, wrapped, small, plans_of(small)[0])
    again = fabric.setup_module(small)
    step(again, optimizer)
    inner = optimizer.optimizer
    assert all(inner.state[p]["exp_avg"].shape == p.shape for p in small.parameters())
    assert all(inner.state[p]["step"] == 2 for p in small.parameters())
