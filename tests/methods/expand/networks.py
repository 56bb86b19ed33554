"""A small network of two tasks, its batches, and a loop in which every loss can be changed on its way."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from niwaki.methods import Run

Batch = tuple[Tensor, dict[str, Tensor]]
Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


class Two(nn.Module):
    """A trunk with a batch norm and a head for each of two tasks."""

    def __init__(self, *, norm: bool = True) -> None:
        super().__init__()
        between = nn.BatchNorm2d(6) if norm else nn.Identity()
        self.trunk = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), between, nn.Tanh(), nn.Conv2d(6, 6, 3, padding=1))
        self.near = nn.Conv2d(6, 2, 1)
        self.far = nn.Conv2d(6, 1, 3, padding=1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        return {"near": self.near(features), "far": self.far(features)}


def two(*, norm: bool = True, dtype: torch.dtype = torch.float32) -> Two:
    """Make the network; the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Two(norm=norm).to(dtype)


def batches(count: int, dtype: torch.dtype = torch.float32) -> list[Batch]:
    """Draw batches; the same each time."""
    generator = torch.Generator().manual_seed(1)

    def drawn(channels: int) -> Tensor:
        return torch.randn(4, channels, 5, 5, generator=generator, dtype=torch.float64).to(dtype)

    return [(drawn(3), {"near": drawn(2), "far": drawn(1)}) for _ in range(count)]


def losses_of(model: nn.Module, batch: Batch) -> dict[str, Tensor]:
    """Return each task's squared error."""
    x, targets = batch
    return {task: F.mse_loss(answer, targets[task]) for task, answer in model(x).items() if task in targets}


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """Add losses up."""
    return torch.stack(list(losses.values())).sum()


def step(model: nn.Module, run: Run, optimizer: Optimizer, batch: Batch, change: Change | None = None) -> nn.Module:
    """Take one step of somebody's loop."""
    losses = losses_of(model, batch)
    losses = losses if change is None else change(losses)
    run.before_backward(model, losses)
    optimizer.zero_grad()
    (total(losses) + run.penalty(model)).backward()
    run.after_backward(model)
    optimizer.step()
    return run.after_step(model, optimizer)
