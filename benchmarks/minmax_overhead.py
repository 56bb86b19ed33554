"""What sparse training and min-max weighting add to a step, in processor time and memory."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import niwaki as nw
from held import storages
from minmax_arms import CONTROL, PROBLEMS, opened, weighing
from niwaki.balance import Balancer
from niwaki.methods import DynamicSparse, Method, ReweightedL1, Run
from niwaki.tasks import Task

__all__ = ["OVER_CONTROL", "PAIRS", "overhead"]

OVER_CONTROL = "MinMax over normalised"

PAIRS = {
    "DST": ("DST", "equal"),
    "MinMax": ("MinMax", "equal"),
    OVER_CONTROL: ("MinMax", CONTROL),
    "reweighted l1": ("reweighted l1", "equal"),
}
"""What is reported: an arm, and the one whose steps it is held against."""

Batches = Sequence[tuple[Tensor, Mapping[str, Tensor]]]

_SPARSITY = 0.9
_SHORTEST_S = 0.5


@dataclass
class Arm:
    """A training that can be gone on with: the loop of the README, with nothing beside it."""

    model: nn.Module
    run: Run
    optimizer: torch.optim.Optimizer
    balance: Balancer
    tasks: Sequence[Task]

    @classmethod
    def of(cls, problem: str, steps: int, seed: int, *, method: Method | None, balance: str) -> "Arm":
        """Begin one."""
        splits, tasks, outputs = opened(problem)
        chosen = PROBLEMS[problem]
        model = chosen.model.build(outputs, seed=seed).to(memory_format=torch.channels_last).train()
        run = Run()
        if method is not None:
            model, run = method.start(model, splits.train[0][0][None], tasks, steps=steps)
        optimizer = torch.optim.AdamW(run.parameter_groups(model, lr=chosen.training["lr"], weight_decay=1e-4))
        return cls(model, run, optimizer, weighing(balance, problem, "small"), tasks)

    def backward(self, x: Tensor, targets: Mapping[str, Tensor]) -> None:
        """Do the first half of a step, up to the gradients."""
        losses = nw.task_losses(self.tasks, self.model(x), targets)
        self.run.before_backward(self.model, losses)
        self.optimizer.zero_grad()
        (self.balance(losses) + self.run.penalty(self.model)).backward()
        self.run.after_backward(self.model)

    def update(self) -> None:
        """Do the second half."""
        self.optimizer.step()
        self.model = self.run.after_step(self.model, self.optimizer)

    def steps(self, batches: Batches) -> float:
        """Train a step on each batch, and return the processor's seconds."""
        began = time.process_time()
        for x, targets in batches:
            self.backward(x, targets)
            self.update()
        return time.process_time() - began

    def plain(self) -> dict[int, int]:
        """Return the memory that training holds without method and balancer: weights, gradients, optimizer state."""
        return storages(self.model, self.optimizer, self.tasks)

    def added(self) -> int:
        """Return the bytes that method and balancer hold beside it."""
        plain = self.plain()
        return sum(size for place, size in storages(self.run, self.balance).items() if place not in plain)

    def most_added(self, batches: Batches) -> int:
        """Train a step on each batch, and return the most that was added in the middle or at the end of one."""
        most = 0
        for x, targets in batches:
            self.backward(x, targets)
            most = max(most, self.added())
            self.update()
            most = max(most, self.added())
        return most


def overhead(problem: str, period: int, rounds: int, seed: int) -> dict[str, Any]:
    """Measure turns of as many steps as lie between two updates of the masks, so that each has one; arms in turn.

    Args:
        problem: Name of the problem.
        period: Steps in a turn.
        rounds: Turns of each arm.
        seed: Seed of the weights.

    Returns:
        Milliseconds of a dense step under equal weights; for each of `PAIRS` the median ratio and its interval; and
        what each arm holds most at any moment of a last turn, as a share of what the dense training holds.
    """
    torch.set_num_threads(1)
    sparse = {"density": 1 - _SPARSITY}
    methods: dict[str, tuple[Method | None, str]] = {
        "equal": (None, "equal"),
        CONTROL: (None, CONTROL),
        "DST": (DynamicSparse(**sparse, every=period, until=1.0), "equal"),
        "MinMax": (None, "MinMax"),
        "reweighted l1": (ReweightedL1(**sparse, pretrain=0, penalised=1.0), "equal"),
    }
    steps = 2 * period * (rounds + 2)  # twice those taken: the penalty goes on to the last turn
    arms = {
        name: Arm.of(problem, steps, seed, method=method, balance=balance)
        for name, (method, balance) in methods.items()
    }
    batches = _batches(problem, period)
    taken = _taken(arms, batches, rounds)
    dense = sum(arms["equal"].plain().values())
    figures: dict[str, Any] = {"dense ms": 1e3 * float(np.median(taken["equal"])) / period}
    for name, (arm, against) in PAIRS.items():
        ratios = np.divide(taken[arm], taken[against])
        figures |= {name: float(np.median(ratios)), f"{name} interval": _interval(ratios)}
    return figures | {
        f"{name} memory": arms[name].most_added(batches) / dense for name in ("DST", "MinMax", "reweighted l1")
    }


def _taken(arms: Mapping[str, Arm], batches: Batches, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each arm's turns, after one to warm up."""
    for arm in arms.values():
        arm.steps(batches)
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds):
        for name in list(arms)[:: -1 if turn % 2 else 1]:
            taken[name].append(arms[name].steps(batches))
    shortest = min(min(each) for each in taken.values())
    assert shortest >= _SHORTEST_S, f"a turn took {shortest:.2f} s; take more steps"
    return taken


def _batches(problem: str, count: int) -> Batches:
    splits, _, _ = opened(problem)
    size = PROBLEMS[problem].training["batch_size"]
    samples = [splits.train[index] for index in range(4 * size)]
    found = [torch.utils.data.default_collate(samples[i : i + size]) for i in range(0, len(samples), size)]
    ready = [(x.contiguous(memory_format=torch.channels_last), targets) for x, targets in found]
    return [ready[index % len(ready)] for index in range(count)]


def _interval(ratios: Any) -> list[float]:
    """Return the 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (5000, len(ratios))), axis=1)
    return [float(each) for each in np.quantile(medians, (0.025, 0.975))]
