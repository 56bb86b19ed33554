"""Taylor against gates that are really multiplied into the network."""

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from niwaki.graph import Channels, find_channels, trace
from niwaki.methods import StructuredPruning, Taylor
from niwaki.methods.calibration import Calibration
from niwaki.methods.prune.criteria.taylor import TaylorEvidence
from niwaki.methods.prune.sides import read_sides
from niwaki.settings import Budget
from niwaki.tasks import Task

Make = Callable[[], nn.Module]
SITES = {"stem.1": "stem.1.weight", "block.1": "block.1.weight", "deep.0": "deep.0.weight"}


def gated(net: nn.Module, channels: Channels, batch: Any, tasks: list[Task]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The derivative of each task's loss by a gate for each class, ``[tasks, classes]``: gates are multiplied in."""
    gates = torch.ones(channels.count, requires_grad=True)
    hooks = []
    for name, weight in SITES.items():
        labels = torch.tensor(channels.tensors[weight][0])

        def multiply(_module: nn.Module, _inputs: Any, output: Tensor, labels: Tensor = labels) -> Tensor:
            return output * gates[labels][None, :, None, None]

        hooks.append(net.get_submodule(name).register_forward_hook(multiply))
    x, targets = batch
    outputs = net(x)
    found = [
        torch.autograd.grad(task.loss(outputs[task.name], targets[task.name]), gates, retain_graph=True)[0]
        for task in sorted(tasks, key=lambda task: task.name)
    ]
    for hook in hooks:
        hook.remove()
    return torch.stack(found).double().numpy()


def test_gates_stand_after_norms_and_after_layers_without_one(channels: Channels) -> None:
    assert [name for name, _ in read_sides(channels).gates] == [
        "stem.1.weight",
        "stem.1.bias",
        "block.1.weight",
        "block.1.bias",
        "deep.0.weight",
        "deep.0.bias",
    ]
    assert [name for name, _ in read_sides(channels).scales] == ["stem.1.weight", "block.1.weight"]


def test_it_equals_gates_that_are_really_multiplied(
    net: nn.Module, channels: Channels, calibration: Calibration
) -> None:
    evidence = TaylorEvidence(channels)
    calibration.show(net, evidence)
    changes = [gated(net.eval(), channels, batch, list(calibration.tasks)) for batch in calibration.batches]
    may_go = channels.removable
    table = np.mean([each**2 for each in changes], axis=0)
    np.testing.assert_allclose(evidence.table()[:, may_go], table[:, may_go], rtol=2e-3, atol=1e-9)
    summed = np.mean([each.sum(axis=0) ** 2 for each in changes], axis=0)
    np.testing.assert_allclose(evidence.summed()[may_go], summed[may_go], rtol=2e-3, atol=1e-9)
    assert (Taylor().score(net, channels, evidence) == evidence.summed()).all()


def test_in_a_loop_it_sees_the_training_pass(make_net: Make, example: Tensor, batches: Any, tasks: list[Task]) -> None:
    """In train mode the norms' own statistics make their scales invisible to the layers before them."""
    net = make_net()
    method = StructuredPruning(budget=Budget(macs=0.5), criterion=Taylor(tasks="mean"), begin=0.5, round_to=2)
    model, run = method.start(net, example, tasks, steps=4)
    x, targets = batches[0]
    outputs = model(x)
    run.before_backward(model, {task.name: task.loss(outputs[task.name], targets[task.name]) for task in tasks})
    channels = find_channels(trace(net, example))
    state = run.state_dict()["evidence"]
    changes = gated(make_net().train(), channels, batches[0], tasks)
    for row, name in zip(changes, sorted(task.name for task in tasks), strict=True):
        found = state["squares"][name].numpy()[channels.removable]
        np.testing.assert_allclose(found, row[channels.removable] ** 2, rtol=2e-3, atol=1e-9)
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("how", ["mean", "max", "min", "vote"])
def test_a_task_counts_no_more_for_its_units(
    net: nn.Module, channels: Channels, calibration: Calibration, how: Literal["mean", "max", "min", "vote"]
) -> None:
    evidence, louder = TaylorEvidence(channels), TaylorEvidence(channels)
    parameters = {name: net.get_parameter(name).double() for name in evidence.parameters}
    gradients = {
        task: {name: torch.randn_like(each, requires_grad=False) for name, each in parameters.items()}
        for task in ("near", "far")
    }
    evidence.see(parameters, gradients)
    loud = {name: 1000 * each for name, each in gradients["far"].items()}
    louder.see(parameters, {"near": gradients["near"], "far": loud})
    first, second = (Taylor(tasks=how).score(net, channels, each) for each in (evidence, louder))
    np.testing.assert_allclose(first[channels.removable], second[channels.removable], rtol=1e-5)
