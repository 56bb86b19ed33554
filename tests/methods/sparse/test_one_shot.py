"""Masks chosen once: SNIP and GraSP against their definitions, what they leave as it was, and what they need."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from tests.methods.sparse.networks import (
    EXAMPLE,
    ManyTasks,
    batches_of,
    density,
    network,
    sparse_names,
    started,
    step,
    tasks_of,
)
from torch import Tensor, nn
from torch.autograd.functional import hessian
from torch.func import functional_call

from niwaki.errors import ContractError, DataError
from niwaki.methods.sparse.grasp import GraSP
from niwaki.methods.sparse.snip import SNIP
from niwaki.tasks import task_losses

each_method = pytest.mark.parametrize("kind", [SNIP, GraSP])


def quiet(model: ManyTasks) -> ManyTasks:
    """A copy as it is scored: nothing is dropped, norms take the batch's statistics."""
    copy = deepcopy(model).train()
    for module in copy.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return copy


def summed_loss(model: ManyTasks, count: int) -> Tensor:
    found = [task_losses(tasks_of(model), model(x), targets) for x, targets in batches_of(model)[:count]]
    return torch.stack([each for losses in found for each in losses.values()]).sum()


def slow_masks(scores: dict[str, Tensor], count: int) -> dict[str, list[int]]:
    """The best weight of each layer, and then the best of all others."""
    weights = [
        (value, name, place) for name, each in scores.items() for place, value in enumerate(each.flatten().tolist())
    ]
    first = [max((each for each in weights if each[1] == name), key=lambda each: each[0]) for name in scores]
    others = sorted((each for each in weights if each not in first), key=lambda each: -each[0])
    chosen = first + others[: count - len(first)]
    return {name: sorted(place for _, layer, place in chosen if layer == name) for name in scores}


def places(masks: Any) -> dict[str, list[int]]:
    return {name: mask.flatten().nonzero().flatten().tolist() for name, mask in masks.items()}


@pytest.mark.parametrize("batches", [1, 3])
def test_snip_keeps_what_the_loss_would_miss_most(batches: int) -> None:
    model = network(2)
    _, run, _, _ = started(SNIP(density=0.2, batches=batches), model, steps=4)
    copy = quiet(model)
    loss = summed_loss(copy, batches)
    names = sparse_names(run)
    gradients = torch.autograd.grad(loss, [copy.get_parameter(name) for name in names])
    scores = {name: (model.get_parameter(name) * each).abs() for name, each in zip(names, gradients, strict=True)}
    size = sum(each.numel() for each in scores.values())
    assert places(run.masks) == slow_masks(scores, round(0.2 * size))


def test_grasp_removes_what_the_gradient_would_miss_least() -> None:
    """With the whole Hessian of a network that is small enough for it."""
    model = network(2, width=5)
    _, run, _, _ = started(GraSP(density=0.4, batches=2), model, steps=4)
    copy, names = quiet(model), sparse_names(run)
    shapes = [copy.get_parameter(name).shape for name in names]
    flat = torch.cat([copy.get_parameter(name).detach().flatten() for name in names])
    tasks, data = tasks_of(model), batches_of(model, 2)

    def loss(values: Tensor) -> Tensor:
        parts = values.split([shape.numel() for shape in shapes])
        swapped = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
        return torch.stack(
            [
                task_losses(tasks, functional_call(copy, swapped, x), targets)[name]
                for x, targets in data
                for name in model.names
            ]
        ).sum()

    point = flat.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(point), point)
    matrix = hessian(loss, flat)
    assert isinstance(matrix, Tensor)
    kept = flat * (matrix @ gradient)  # minus what goes first
    parts = kept.split([shape.numel() for shape in shapes])
    scores = {name: part.view(shape) for name, part, shape in zip(names, parts, shapes, strict=True)}
    assert places(run.masks) == slow_masks(scores, round(0.4 * len(flat)))


@each_method
def test_scoring_leaves_everything_as_it_was(kind: type[SNIP | GraSP]) -> None:
    model = network(2)
    model.trunk[1].eval()  # a norm that the user froze
    model.get_parameter("trunk.3.weight").requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    copy, run, _, _ = started(kind(density=0.5, batches=2), model, steps=4)
    assert torch.equal(torch.get_rng_state(), state)
    for name, tensor in copy.state_dict().items():
        mask = run.masks.get(name)
        assert torch.equal(tensor, before[name] if mask is None else before[name] * mask), name
    assert all(parameter.grad is None for parameter in copy.parameters())
    assert [module.training for module in copy.modules()] == [module.training for module in model.modules()]
    assert not copy.get_parameter("trunk.3.weight").requires_grad
    assert run.masks["trunk.3.weight"].any()


@each_method
def test_norms_of_an_untrained_network_take_the_batch(kind: type[SNIP | GraSP]) -> None:
    """What the running statistics say of a network that was never trained changes nothing."""
    model, other = network(2), network(2)
    with torch.no_grad():
        other.trunk[1].running_mean.add_(3.0)  # type: ignore[operator]  # a buffer
    masks = [started(kind(density=0.3), net, steps=4)[1].masks for net in (model, other, other.eval())]
    assert places(masks[0]) == places(masks[1]) == places(masks[2])


@each_method
@pytest.mark.parametrize("density_", [0.05, 0.5])
def test_the_density_is_exact_and_stays(kind: type[SNIP | GraSP], density_: float) -> None:
    model = network(3)
    copy, run, tasks, data = started(kind(density=density_), model, steps=3)
    optimizer = torch.optim.AdamW(run.parameter_groups(copy, lr=1e-2))
    assert run.settled
    for batch in data:
        copy = step(copy, run, optimizer, batch, tasks)
    small = run.finish(copy)
    found, size = density(small, sparse_names(run))
    assert found == round(density_ * size)


@each_method
def test_the_moment_may_come_later_or_never(kind: type[SNIP | GraSP]) -> None:
    model = network(2)
    copy, run, tasks, data = started(kind(density=0.1, at=0.5), model, steps=4)
    optimizer = torch.optim.SGD(run.parameter_groups(copy, lr=1e-2))
    names = sparse_names(run)
    for batch in data[:1]:
        copy = step(copy, run, optimizer, batch, tasks)
    assert not run.settled
    assert density(copy, names)[0] == density(copy, names)[1]
    early = run.finish(copy)
    assert density(early, names)[0] == round(0.1 * density(early, names)[1])


@each_method
def test_what_scores_need(kind: type[SNIP | GraSP]) -> None:
    model, method = network(2), kind(density=0.1)
    tasks, data = tasks_of(model), batches_of(model)
    with pytest.raises(ContractError, match="give `data`, batches of"):
        method.start(model, EXAMPLE, tasks, steps=2)
    with pytest.raises(ContractError, match="give `tasks` as niwaki tasks"):
        method.start(model, EXAMPLE, steps=2, data=data)
    with pytest.raises(ContractError, match="give `tasks` as niwaki tasks.*got 't0'"):
        method.start(model, EXAMPLE, model.names, steps=2, data=data)  # type: ignore[arg-type]  # names alone
    poor = [(x, {"t0": targets["t0"]}) for x, targets in data]
    with pytest.raises(DataError, match="none of the 1 batches that are looked at has a label for 't1'"):
        method.start(model, EXAMPLE, tasks, steps=2, data=poor)
    later = kind(density=0.1, at=0.5)
    with pytest.raises(ContractError, match="give `data`"):  # before the long work
        later.start(model, EXAMPLE, tasks, steps=2)


def test_a_model_of_one_task_needs_no_names() -> None:
    model: ManyTasks = network(1)
    _, run, _, _ = started(SNIP(density=0.3), model, steps=1)
    assert sum(run.masks.kept.values()) == round(0.3 * run.subject.size)
