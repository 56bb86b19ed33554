"""A small problem with a trunk, a block that two of four tasks use, and heads; and every balancer made for it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.balance import Balancer, balancers

TASKS = ("a", "b", "c", "d")

NEEDED: dict[str, dict[str, Any]] = {
    "Aggregator": {"method": "TrimmedMean", "options": {"trim_number": 1}},
    "Scalarizer": {"method": "IMTLL"},
    "AdapMTL": {"begin": 2},
    "relative_change": {"begin": 2},
}
"""Registered name to the options without which it can't be made, or does nothing in a few steps."""


class Problem(nn.Module):
    """A trunk that all tasks use, a block of a and b, a frozen part, and a head for each; in float64."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.draws = torch.Generator().manual_seed(seed)
        self.trunk = self._weight(3, 5)
        self.block = self._weight(5, 5)
        self.frozen = nn.Parameter(self._weight(5, 5), requires_grad=False)
        self.heads = nn.ParameterDict({task: self._weight(5, 1) for task in TASKS})

    def _weight(self, *shape: int) -> nn.Parameter:
        return nn.Parameter(torch.randn(*shape, generator=self.draws, dtype=torch.float64) * 0.5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        common = torch.tanh(x @ self.trunk) @ self.frozen
        special = torch.tanh(common @ self.block)
        return {task: (special if task in "ab" else common) @ head for task, head in self.heads.items()}

    def shared(self) -> list[nn.Parameter]:
        return [self.trunk, self.block]

    def losses(self, seed: int, tasks: tuple[str, ...] = TASKS) -> dict[str, Tensor]:
        """Return the losses of a random batch, all above zero and of different sizes."""
        draws = torch.Generator().manual_seed(seed)
        x = torch.randn(6, 3, generator=draws, dtype=torch.float64).to(self.trunk)
        answers = self(x)
        found = {}
        for size, task in enumerate(TASKS, start=1):
            target = torch.randn(6, 1, generator=draws, dtype=torch.float64).to(x)
            found[task] = size * (answers[task] - target).square().mean() + 0.1
        return {task: found[task] for task in tasks}


def make(name: str, **options: Any) -> Balancer:
    """Make any registered balancer."""
    return balancers.get(name)(**{**NEEDED.get(name, {}), **options})


@pytest.fixture
def problem() -> Problem:
    return Problem()


@pytest.fixture(name="make")
def maker() -> Callable[..., Balancer]:
    return make


@pytest.fixture
def steps() -> Callable[..., list[Any]]:
    """Take steps of plain descent; a step in three lacks one task."""

    def take(balance: Balancer, problem: Problem, seeds: Iterator[int] | range, lr: float = 0.02) -> list[Any]:
        seen = []
        for seed in seeds:
            absent = TASKS[seed % 4] if seed % 3 == 0 else None
            tasks = tuple(task for task in TASKS if task != absent)
            losses = problem.losses(seed, tasks)
            problem.zero_grad()
            value = balance(losses)
            value.backward()
            grads = [None if each.grad is None else each.grad.clone() for each in problem.parameters()]
            seen.append((value.item(), balance.weights, grads))
            with torch.no_grad():
                for each in problem.parameters():
                    each.sub_(0 if each.grad is None else lr * each.grad)
            balance.after_step({task: loss.detach() for task, loss in problem.losses(seed, tasks).items()})
            if seed % 4 == 3:
                balance.end_epoch()
        return seen

    return take
