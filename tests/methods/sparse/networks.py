"""A small network of any number of tasks, batches for it, and a loop."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.methods import Method, Run
from niwaki.tasks import Regression, Task, task_losses

Batch = tuple[Tensor, dict[str, Tensor]]
Begun = tuple[Any, Any, list[Task], list[Batch]]
EXAMPLE = torch.zeros(2, 6)


class ManyTasks(nn.Module):
    """A trunk, a branch that the first two tasks use, and a head of two layers for each task."""

    def __init__(self, tasks: int, *, branch: bool = False, width: int = 24) -> None:
        super().__init__()
        self.names = [f"t{number}" for number in range(tasks)]
        self.trunk = nn.Sequential(
            nn.Linear(6, width), nn.BatchNorm1d(width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Dropout(0.1)
        )
        self.branch = nn.Sequential(nn.Linear(width, width), nn.Tanh()) if branch else nn.Identity()
        self.heads = nn.ModuleDict(
            {name: nn.Sequential(nn.Linear(width, 12), nn.Tanh(), nn.Linear(12, 1)) for name in self.names}
        )

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        branched = self.branch(features)
        return {name: self.heads[name](branched if place < 2 else features) for place, name in enumerate(self.names)}


def network(tasks: int = 2, **options: Any) -> ManyTasks:
    """The same network every time."""
    with torch.random.fork_rng():
        torch.manual_seed(tasks)
        return ManyTasks(tasks, **options)


def tasks_of(model: ManyTasks) -> list[Task]:
    return [Regression(name=name) for name in model.names]


def batches_of(model: ManyTasks, count: int = 3) -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    found = []
    for _ in range(count):
        x = torch.randn(16, 6, generator=generator)
        targets = {name: torch.randn(16, 1, generator=generator) for name in model.names}
        found.append((x, targets))
    return found


def step(
    model: nn.Module, run: Run, optimizer: torch.optim.Optimizer, batch: Batch, tasks: Sequence[Task]
) -> nn.Module:
    """One step of somebody's loop."""
    losses = task_losses(tasks, model(batch[0]), batch[1])
    run.before_backward(model, losses)
    optimizer.zero_grad()
    (torch.stack(list(losses.values())).sum() + run.penalty(model)).backward()
    run.after_backward(model)
    optimizer.step()
    return run.after_step(model, optimizer)


def density(model: nn.Module, names: Sequence[str]) -> tuple[int, int]:
    """Weights that are not zero, and all, of some parameters."""
    weights = [model.get_parameter(name) for name in names]
    return sum(int(each.count_nonzero()) for each in weights), sum(each.numel() for each in weights)


def sparse_names(run: Any) -> tuple[str, ...]:
    return tuple(run.subject.names)


def started(
    method: Method, model: ManyTasks, *, steps: int, batches: int = 3
) -> tuple[Any, Any, list[Task], list[Batch]]:
    """A method begun on a model, with its tasks and batches; from then on nothing is dropped."""
    tasks, data = tasks_of(model), batches_of(model, batches)
    begun, run = method.start(model, EXAMPLE, tasks, steps=steps, data=data)
    copy: Any = begun
    copy.trunk[-1].p = 0.0
    return copy, run, tasks, data
