"""What a step of an expanded network takes over a plain one, in processor time and memory; on a CPU."""

import time
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.balance.jacobian import leaves_of
from niwaki.balance.surrogate import with_gradient
from niwaki.methods import Method, Run
from niwaki.tasks import Task
from overparam_arms import ARMS, DATA, build, opened

__all__ = ["overhead"]

_ARMS = ("Overparam", "Overparam, joint", "one scale, joint", "RepVGG", "DO-Conv", "ExpandNet")
_WITH_GRADIENTS = "plain, with task gradients"


class _Gradients(Run):
    """Takes each task's gradient once, and trains by their sum: what any method pays that looks at them."""

    def before_backward(self, model: nn.Module, losses: MutableMapping[str, Tensor]) -> None:  # type: ignore[override]  # the loop below gives a dict
        del model
        for task, loss in losses.items():
            leaves = leaves_of(loss)
            losses[task] = with_gradient(loss, leaves, torch.autograd.grad(loss, leaves, retain_graph=True))


class _Arm:
    """A training that can be gone on with."""

    def __init__(self, data: str, network: str, steps: int, seed: int, method: Method | None, run: Run) -> None:
        splits, self.tasks, _ = opened(data)
        self.model = build(data, network, seed).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]  # torch's stub lacks it
        self.run = run
        if method is not None:
            self.model, self.run = method.start(self.model, splits.train[0][0][None], self.tasks, steps=steps)
        groups = self.run.parameter_groups(self.model, lr=1e-3, weight_decay=1e-4)
        self.optimizer = torch.optim.AdamW(groups)

    def steps(self, batches: Sequence[tuple[Tensor, Mapping[str, Tensor]]]) -> float:
        """Train a step on each batch, and return the processor's seconds for one."""
        tasks: Sequence[Task] = self.tasks
        began = time.process_time()
        for x, targets in batches:
            losses = nw.task_losses(tasks, self.model(x), targets)
            self.run.before_backward(self.model, losses)
            self.optimizer.zero_grad()
            (torch.stack(list(losses.values())).sum() + self.run.penalty(self.model)).backward()
            self.run.after_backward(self.model)
            self.optimizer.step()
            self.model = self.run.after_step(self.model, self.optimizer)
        return (time.process_time() - began) / len(batches)

    def bytes(self) -> int:
        """Return the bytes of weights, gradients and optimizer state."""
        weights = sum(each.nbytes for each in self.model.parameters())
        states = (each for state in self.optimizer.state.values() for each in state.values())
        return 2 * weights + sum(each.nbytes for each in states if isinstance(each, Tensor))


def overhead(data: str, network: str, steps: int, rounds: int, seed: int) -> dict[str, Any]:
    """Measure turns of an even number of steps, shared and task phases alike; arms in turn, paired by turn."""
    torch.set_num_threads(1)
    total = 2 * steps * (rounds + 1) + 1
    arms = {
        "plain": _Arm(data, network, total, seed, None, Run()),
        _WITH_GRADIENTS: _Arm(data, network, total, seed, None, _Gradients()),
        **{name: _Arm(data, network, total, seed, ARMS[name], Run()) for name in _ARMS},
    }
    batches = _batches(data, 2 * steps)
    for arm in arms.values():
        arm.steps(batches)
    taken: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(rounds):
        for name in list(arms)[:: -1 if turn % 2 else 1]:
            taken[name].append(arms[name].steps(batches))
    over_that = {name: np.divide(taken[name], taken[_WITH_GRADIENTS]) for name in _ARMS}
    over_plain = {name: np.divide(taken[name], taken["plain"]) for name in (*_ARMS, _WITH_GRADIENTS)}
    return {
        "arms": list(_ARMS),
        "plain ms": 1e3 * float(np.median(taken["plain"])),
        "with task gradients": float(np.median(over_plain[_WITH_GRADIENTS])),
        "over that": [float(np.median(over_that[name])) for name in _ARMS],
        "interval": [_interval(over_that[name]) for name in _ARMS],
        "over plain": [float(np.median(over_plain[name])) for name in _ARMS],
        "memory": [arms[name].bytes() / arms["plain"].bytes() for name in _ARMS],
    }


def _batches(data: str, count: int) -> list[Any]:
    splits, _, _ = opened(data)
    size = DATA[data].batch
    samples = [splits.train[index] for index in range(4 * size)]
    found = [torch.utils.data.default_collate(samples[i : i + size]) for i in range(0, len(samples), size)]
    ready = [(x.contiguous(memory_format=torch.channels_last), targets) for x, targets in found]
    return [ready[index % len(ready)] for index in range(count)]


def _interval(ratios: Any) -> list[float]:
    """Return the 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(0)
    medians = np.median(rng.choice(ratios, (5000, len(ratios))), axis=1)
    return [float(each) for each in np.quantile(medians, (0.025, 0.975))]
