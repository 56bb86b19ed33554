"""Looking at the tasks' losses: what it costs, and that nothing is left of it."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.methods.calibration import task_gradients
from niwaki.tasks import Task


class Noted(torch.autograd.Function):
    """Hands a tensor on and notes when a gradient comes back to it."""

    seen = 0

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        Noted.seen += 1
        return gradients[0]


def test_a_pass_for_each_task_reaches_the_scored_parameters_alone() -> None:
    scored, other = torch.ones(3, requires_grad=True), torch.ones(3, requires_grad=True)
    product = Noted.apply(other) * scored
    losses = {"one": product.sum(), "two": (product * product).sum(), "apart": other.sum()}
    Noted.seen = 0
    found = task_gradients({"scored": scored}, losses)
    assert Noted.seen == 0, "no gradient of a parameter that nobody asked about"
    assert {task: list(each) for task, each in found.items()} == {"apart": [], "one": ["scored"], "two": ["scored"]}
    assert scored.grad is other.grad is None
    task_gradients({"scored": scored, "other": other}, losses)
    assert Noted.seen == 2, "one pass for each task that reaches it"


class Chancy(nn.Module):
    """Draws numbers in every mode, of every kind there is, and counts its forward passes."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.drop = nn.Conv2d(3, 8, 1), nn.Dropout(0.5)
        self.near, self.far = nn.Conv2d(8, 1, 1), nn.Conv2d(8, 1, 1)
        self.passes = 0

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        self.passes += 1
        y = self.drop(self.trunk(x).relu()) + 1e-3 * torch.rand(1)
        return {"near": self.near(y), "far": self.far(y)}


def drawn(count: int) -> Iterator[Any]:
    """Yield batches that somebody's data set draws anew."""
    for _ in range(count):
        x = torch.from_numpy(np.random.rand(2, 3, 4, 4).astype(np.float32))  # noqa: NPY002 - as much old code does
        yield x, {"near": torch.rand(2, 1, 4, 4) + random.random(), "far": torch.rand(2, 1, 4, 4) + 0.1}


TASKS: list[Task] = [nw.Depth(name="near"), nw.Depth(name="far")]


@pytest.mark.parametrize("criterion", ["cos", "taylor"])
def test_scoring_leaves_every_generator_as_it_was(criterion: str) -> None:
    net, x = Chancy().train(), torch.randn(1, 3, 4, 4)
    states = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # type: ignore[index]  # noqa: NPY002
    nw.plan(net, x, tasks=TASKS, data=drawn(3), criterion=criterion, channels=0.5, round_to=1)
    nw.sensitivity(net, x, TASKS, drawn(3), criterion=criterion)
    assert random.getstate() == states[0]
    assert (np.random.get_state()[1] == states[1]).all()  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])


def test_training_batches_are_judged_by_the_forward_pass_that_was_made_anyway() -> None:
    method = nw.StructuredPruning(
        budget={"channels": 0.5}, criterion=nw.CosPrune(), round_to=1, begin=0.5, allocation="global"
    )
    net, run = method.start(Chancy(), torch.randn(1, 3, 4, 4), TASKS, steps=8)
    assert isinstance(net, Chancy)
    x, targets = next(drawn(1))
    before = net.passes
    losses = nw.task_losses(TASKS, net(x), targets)
    run.before_backward(net, losses)
    assert net.passes == before + 1
    assert all(each.grad is None for each in net.parameters())
