"""What sparse training and min-max weighting add to a step, in processor time and memory."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import niwaki as nw
from minmax_arms import CONTROL, PROBLEMS, opened, weighing
from niwaki.balance import Balancer
from niwaki.methods import DynamicSparse, Method, ReweightedL1, Run
from niwaki.tasks import Task

__all__ = ["overhead"]

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

    def steps(self, batches: Sequence[tuple[Tensor, Mapping[str, Tensor]]]) -> float:
        """Train a step on each batch, and return the processor's seconds."""
        began = time.process_time()
        for x, targets in batches:
            losses = nw.task_losses(self.tasks, self.model(x), targets)
            self.run.before_backward(self.model, losses)
            self.optimizer.zero_grad()
            (self.balance(losses) + self.run.penalty(self.model)).backward()
            self.run.after_backward(self.model)
            self.optimizer.step()
            self.model = self.run.after_step(self.model, self.optimizer)
        return time.process_time() - began


def overhead(problem: str, period: int, rounds: int, seed: int) -> dict[str, Any]:
    """Measure turns of as many steps as lie between two updates of the masks, so that each has one; arms in turn."""
    torch.set_num_threads(1)
    steps = period * (rounds + 1)
    methods: dict[str, tuple[Method | None, str]] = {
        "dense": (None, CONTROL),
        "DST": (DynamicSparse(density=1 - _SPARSITY, every=period, until=1.0), CONTROL),
        "MinMax": (None, "MinMax"),
        "reweighted l1": (ReweightedL1(density=1 - _SPARSITY, pretrain=0, penalised=1.0), CONTROL),
    }
    arms = {
        name: Arm.of(problem, 2 * steps, seed, method=method, balance=balance)
        for name, (method, balance) in methods.items()
    }
    batches = _batches(problem, period)
    for arm in arms.values():
        arm.steps(batches)
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds):
        for name in list(arms)[:: -1 if turn % 2 else 1]:
            taken[name].append(arms[name].steps(batches))
    shortest = min(min(each) for each in taken.values())
    assert shortest >= _SHORTEST_S, f"a turn took {shortest:.2f} s; take more steps"
    figures: dict[str, Any] = {"dense ms": 1e3 * float(np.median(taken["dense"])) / period}
    for name in ("DST", "MinMax", "reweighted l1"):
        ratios = np.divide(taken[name], taken["dense"])
        figures[name] = float(np.median(ratios))
        figures[f"{name} interval"] = _interval(ratios)
        figures[f"{name} memory"] = _memory(arms[name]) / _held(arms["dense"])
    return figures


def _batches(problem: str, count: int) -> list[Any]:
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


def _memory(arm: Arm) -> int:
    """Return the bytes that method and balancer hold."""
    return _bytes(arm.run.state_dict()) + _bytes(arm.balance.state_dict())


def _held(arm: Arm) -> int:
    """Return the bytes of the dense training: weights, their gradients, the optimizer's state."""
    weights = sum(each.nbytes for each in arm.model.parameters())
    return 2 * weights + _bytes(arm.optimizer.state_dict()) + sum(each.nbytes for each in arm.model.buffers())


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.nbytes
    if isinstance(value, Mapping):
        return sum(map(_bytes, value.values()))
    return sum(map(_bytes, value)) if isinstance(value, list | tuple) else 0
