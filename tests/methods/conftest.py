"""A small network of two tasks, and a training loop that knows methods only by their hooks."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode

from niwaki.methods import Run

Batch = tuple[Tensor, dict[str, Tensor]]


class TwoTasks(nn.Module):
    """A skip, a concatenation, batch norms and a head for each of two tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.block = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.deep = nn.Sequential(nn.Conv2d(32, 24, 3, padding=1), nn.GELU())
        self.heads = nn.ModuleDict({"classes": nn.Conv2d(24, 5, 1), "depth": nn.Conv2d(24, 1, 1)})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first = self.stem(x)
        second = F.relu(self.block(first) + first)
        features = self.deep(torch.cat([first, second], dim=1))
        return {name: head(features) for name, head in self.heads.items()}


@pytest.fixture(scope="session")
def make_net() -> Callable[[], TwoTasks]:
    """Return a function that makes the same network every time."""

    def make() -> TwoTasks:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = TwoTasks()
            for _ in range(3):
                net(torch.randn(4, 3, 8, 8))
        return net

    return make


@pytest.fixture(scope="session")
def example() -> Tensor:
    """One image."""
    return torch.zeros(1, 3, 8, 8)


@pytest.fixture(scope="session")
def batches() -> list[Batch]:
    """Eight batches of random images and targets."""
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(2, 3, 8, 8, generator=generator),
            {
                "classes": torch.randint(0, 5, (2, 8, 8), generator=generator),
                "depth": torch.rand(2, 1, 8, 8, generator=generator),
            },
        )
        for _ in range(8)
    ]


@pytest.fixture(scope="session")
def train() -> Callable[..., nn.Module]:
    """Return somebody's training loop."""

    def loop(model: nn.Module, run: Run, optimizer: Optimizer, batches: list[Batch]) -> nn.Module:
        for x, targets in batches:
            outputs = model(x)
            losses = {
                "classes": F.cross_entropy(outputs["classes"], targets["classes"]),
                "depth": F.l1_loss(outputs["depth"], targets["depth"]),
            }
            run.before_backward(model, losses)
            optimizer.zero_grad()
            (torch.stack(list(losses.values())).sum() + run.penalty(model)).backward()
            run.after_backward(model)
            optimizer.step()
            model = run.after_step(model, optimizer)
        return model

    return loop


@pytest.fixture(scope="session")
def size_of() -> Callable[[nn.Module, Any], tuple[int, int]]:
    """Return a function that measures parameters and MACs by running the model, apart from our own counting."""

    def measure(model: nn.Module, *inputs: Any) -> tuple[int, int]:
        mode = model.training
        model.eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(*inputs)
        model.train(mode)
        return sum(parameter.numel() for parameter in model.parameters()), counter.get_total_flops() // 2

    return measure
