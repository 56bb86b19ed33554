"""Who learns from what: the tasks' own scales from their own losses alone, in turns with the shared part."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytest
import torch
from tests.methods.expand.networks import batches, losses_of, step, total, two
from torch import Tensor, nn

from niwaki.balance import make_balancer
from niwaki.balance.jacobian import task_gradients
from niwaki.methods import Overparam
from niwaki.methods.expand.phases import OwnGradients, Phases
from niwaki.methods.expand.run import ExpandingRun
from niwaki.methods.expand.wiring import expansions, tensors_of

EXAMPLE = torch.zeros(1, 3, 5, 5)


def begin(method: Overparam, steps: int = 8, **optimizer: Any) -> tuple[nn.Module, ExpandingRun, torch.optim.Optimizer]:
    model, run = method.start(two(), EXAMPLE, steps=steps)
    assert isinstance(run, ExpandingRun)
    return model, run, torch.optim.AdamW(run.parameter_groups(model, lr=1e-2, **optimizer))


def scales_of(model: nn.Module, task: str) -> list[Tensor]:
    return [each.scales[each.owners.index(task)] for _, _, each in expansions(model) if task in each.owners]


def test_turns() -> None:
    assert [Phases(1).shared(i) for i in range(4)] == [True, False, True, False]
    assert [Phases(2).task(i) for i in range(6)] == [False, False, True, True, False, False]
    assert all(Phases(0).shared(i) and Phases(0).task(i) for i in range(3))


def test_a_task_has_scales_only_where_its_loss_reaches() -> None:
    model, _, _ = begin(Overparam())
    assert {name: each.owners for name, _, each in expansions(model)} == {
        "trunk.0": ("near", "far"),
        "trunk.3": ("near", "far"),
        "near": ("near",),
        "far": ("far",),
    }


@pytest.mark.parametrize("alternate", ["step", "joint"])
def test_scales_get_their_own_losss_gradient_unweighted(alternate: Any) -> None:
    model, run, optimizer = begin(Overparam(alternate=alternate))
    first, second = batches(2)
    if alternate == "step":
        model = step(model, run, optimizer, first)
    losses = losses_of(model, second)
    expected = {
        task: torch.autograd.grad(losses[task], scales_of(model, task), retain_graph=True) for task in ("near", "far")
    }
    run.before_backward(model, losses)
    optimizer.zero_grad()
    (100 * losses["near"] + 0.01 * losses["far"]).backward()
    run.after_backward(model)
    for task, gradients in expected.items():
        for scale, gradient in zip(scales_of(model, task), gradients, strict=True):
            assert scale.grad is not None
            torch.testing.assert_close(scale.grad, gradient)


def test_no_pass_is_taken_twice() -> None:
    model, run, _ = begin(Overparam(alternate="joint"))
    passes: list[Tensor] = []

    def watch(module: nn.Module, inputs: Any, answer: Tensor) -> None:
        del module, inputs
        answer.register_hook(passes.append)

    model.get_submodule("trunk.0").register_forward_hook(watch)
    losses = losses_of(model, batches(1)[0])
    run.before_backward(model, losses)
    total(losses).backward()
    assert len(passes) == 2


@pytest.mark.parametrize("balance", ["EW", "PCGrad"])
def test_losses_carry_the_gradients_of_their_graphs(balance: str) -> None:
    """A mapping that can't be changed keeps its losses' graphs, through which a third pass then goes."""
    found = []
    for frozen in (False, True):
        model, run, _ = begin(Overparam(alternate="joint"))
        losses: Mapping[str, Tensor] = losses_of(model, batches(1)[0])
        losses = MappingProxyType(losses) if frozen else losses
        values = {task: loss.item() for task, loss in losses.items()}
        run.before_backward(model, losses)
        assert {task: loss.item() for task, loss in losses.items()} == values
        (3 * make_balancer(balance)(losses) + run.penalty(model)).backward()
        run.after_backward(model)
        found.append({name: each.grad for name, each in model.named_parameters()})
    assert all(each is not None for each in found[0].values())
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("backend", [None, "aot_eager"])
def test_balancers_still_tell_shared_leaves_from_own(backend: str | None) -> None:
    model, run, _ = begin(Overparam(alternate="joint"))
    if backend is not None:
        model.compile(backend=backend)
    losses = losses_of(model, batches(1)[0])
    before = task_gradients(losses)
    run.before_backward(model, losses)
    after = task_gradients(losses)
    scales = {id(scale) for _, _, each in expansions(model) for scale in each.scales}
    plain = [[id(leaf) for leaf in found.shared if id(leaf) not in scales] for found in (before, after)]
    assert set(plain[0]) == set(plain[1])
    assert {id(leaf) for leaf, _ in before.own} - scales == {id(leaf) for leaf, _ in after.own} - scales
    assert not {id(leaf) for leaf in after.shared} & scales


def test_hooks_of_parameters_act_once() -> None:
    found = []
    for halved in (False, True):
        model, run, _ = begin(Overparam(alternate="joint"))
        weight = model.get_parameter("trunk.1.weight")
        if halved:
            weight.register_hook(lambda gradient: gradient / 2)
        losses = losses_of(model, batches(1)[0])
        run.before_backward(model, losses)
        total(losses).backward()
        assert weight.grad is not None
        found.append(weight.grad)
    torch.testing.assert_close(found[1], found[0] / 2)


@pytest.mark.parametrize("alternate", ["step", "epoch"])
def test_in_a_phase_the_other_part_has_no_gradient(alternate: Any) -> None:
    epoch_steps = 2 if alternate == "epoch" else None
    model, run, optimizer = begin(Overparam(alternate=alternate, epoch_steps=epoch_steps))
    turns = [True, False, True, False] if alternate == "step" else [True, True, False, False]
    scales = {id(scale) for _, _, each in expansions(model) for scale in each.scales}
    for is_shared, batch in zip(turns, batches(4), strict=True):
        before = {id(each): each.detach().clone() for each in model.parameters()}
        step(model, run, optimizer, batch)
        for each in model.parameters():
            learns = (id(each) not in scales) == is_shared
            assert (each.grad is not None) == learns
            assert torch.equal(each, before[id(each)]) != learns


def test_no_task_hears_of_anothers_loss() -> None:
    """The other task's loss is not a number: whatever came near it would not be one either."""
    model, run, optimizer = begin(Overparam(alternate="joint"))
    spoil = {"near": 1.0, "far": torch.nan}
    step(
        model, run, optimizer, batches(1)[0], lambda losses: {task: each * spoil[task] for task, each in losses.items()}
    )
    assert all(torch.isfinite(each).all() for each in scales_of(model, "near"))
    assert all(each.isnan().all() for each in scales_of(model, "far"))


def test_a_task_without_labels_leaves_its_scales() -> None:
    model, run, optimizer = begin(Overparam(alternate="joint"))
    first, second = batches(2)
    step(model, run, optimizer, first)
    before = [each.detach().clone() for each in scales_of(model, "far")]
    step(model, run, optimizer, (second[0], {"near": second[1]["near"]}))
    assert all(each.grad is None for each in scales_of(model, "far"))
    assert all(map(torch.equal, before, scales_of(model, "far")))
    assert all(each.grad is not None for each in scales_of(model, "near"))


def test_accumulated_batches_give_the_mean() -> None:
    found = []
    for parts in (1, 2):
        model, run, optimizer = begin(Overparam(alternate="joint"))
        model.eval()  # batch norms would see other batches
        (x, targets), count = batches(1)[0], 4 // parts
        optimizer.zero_grad()
        for start in range(0, 4, count):
            part = x[start : start + count], {task: each[start : start + count] for task, each in targets.items()}
            losses = losses_of(model, part)
            run.before_backward(model, losses)
            (total(losses) / parts).backward()
        run.after_backward(model)
        found.append([each.grad for each in model.parameters()])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_one_scale_that_learns_from_gradients_of_equal_length() -> None:
    own = OwnGradients(normalised=True)
    scale = nn.Parameter(torch.zeros(2))
    own.see(
        {"a": (scale * torch.tensor([3.0, 0.0])).sum(), "b": (scale * torch.tensor([0.0, 1.0])).sum()},
        {"a": [scale], "b": [scale]},
    )
    own.give([scale])
    assert scale.grad is not None
    assert scale.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize("scales", ["shared", "normalised"])
def test_the_controls_have_one_scale(scales: Any) -> None:
    model, run, optimizer = begin(Overparam(alternate="joint", scales=scales))
    assert {each.owners for _, _, each in expansions(model)} == {("*",)}
    before = [each.scales[0].detach().clone() for _, _, each in expansions(model)]
    step(model, run, optimizer, batches(1)[0])
    after = [each.scales[0] for _, _, each in expansions(model)]
    assert not any(map(torch.equal, before, after))


def test_groups_have_rates_of_their_own_and_no_decay() -> None:
    model, run = Overparam(scale_lr=0.25, expanded_lr=0.5).start(two(), EXAMPLE, steps=2)
    others, tensors, scales = run.parameter_groups(model, lr=0.1, weight_decay=0.3)
    assert [(each["lr"], each["weight_decay"]) for each in (others, tensors, scales)] == [
        (0.1, 0.3),
        (0.05, 0.0),
        (0.025, 0.0),
    ]
    assert len(scales["params"]) == 6
    every = [id(each) for group in (others, tensors, scales) for each in group["params"]]
    assert sorted(every) == sorted(id(each) for each in model.parameters())


def test_decay_is_that_of_the_folded_weight() -> None:
    model, run, _ = begin(Overparam(), weight_decay=0.2)
    net = two()
    wanted = sum(0.1 * each.weight.square().sum().item() for each in net.modules() if isinstance(each, nn.Conv2d))
    penalty = run.penalty(model)
    assert penalty.item() == pytest.approx(wanted, rel=1e-5)
    penalty.backward()
    assert all(scale.grad is None for _, _, each in expansions(model) for scale in each.scales)
    model, run, _ = begin(Overparam())
    assert run.penalty(model).item() == 0.0


def test_rebalancing_keeps_the_weight() -> None:
    model, run, optimizer = begin(Overparam(rebalance=2, alternate="joint"))
    first, second = batches(2)
    step(model, run, optimizer, first)
    layer = model.get_submodule("trunk.0")
    u, v = tensors_of(layer)
    losses = losses_of(model, second)
    optimizer.zero_grad()
    total(losses).backward()
    optimizer.step()
    assert isinstance(layer, nn.Conv2d)
    before: Tensor = layer.weight.detach().clone()
    assert not torch.allclose(u.norm(dim=-2), v.norm(dim=-1), rtol=1e-3)
    run.after_step(model, optimizer)
    torch.testing.assert_close(u.norm(dim=-2), v.norm(dim=-1))
    torch.testing.assert_close(layer.weight, before)
