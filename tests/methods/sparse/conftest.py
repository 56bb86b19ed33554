"""Training a small network with masks, step by step, with everything that may disturb a zero."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from niwaki.methods import Method

Batch = tuple[Tensor, dict[str, Tensor]]
Optimizers = dict[str, Callable[[Any], torch.optim.Optimizer]]

OPTIMIZERS: Optimizers = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=1e-2, nesterov=True),
    "adam": lambda groups: torch.optim.Adam(groups, lr=1e-2, weight_decay=1e-2, amsgrad=True),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=1e-2, weight_decay=1e-2),
}


@dataclass
class Trainer:
    """Somebody's own loop around a sparse method, one step at a time."""

    method: Method
    net: nn.Module
    batches: list[Batch]
    steps: int = 40
    optimizer: str = "adamw"
    precision: torch.dtype | None = None
    accumulate: int = 1
    seen: list[dict[str, Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        model, run = self.method.start(self.net, torch.zeros(1, 3, 8, 8), steps=self.steps)
        self.model, self.run = model, run
        self.done = 0
        self.state = OPTIMIZERS[self.optimizer](run.parameter_groups(model, lr=0.01))

    def step(self) -> None:
        """Take one step; what the optimizer's state and the gradients were right before it is in `seen`."""
        self.state.zero_grad()
        for part in range(self.accumulate):
            x, targets = self.batches[(self.done * self.accumulate + part) % len(self.batches)]
            with torch.autocast("cpu", self.precision, enabled=self.precision is not None):
                outputs = self.model(x)
                losses = {
                    "classes": F.cross_entropy(outputs["classes"].float(), targets["classes"]),
                    "depth": F.l1_loss(outputs["depth"].float(), targets["depth"]),
                }
            self.run.before_backward(self.model, losses)
            ((losses["classes"] + losses["depth"]) / self.accumulate + self.run.penalty(self.model)).backward()
        self.seen.append({name: each.clone() for name, each in self.gradients()})
        self.run.after_backward(self.model)
        self.state.step()
        self.model = self.run.after_step(self.model, self.state)
        self.done += 1

    def gradients(self) -> Iterator[tuple[str, Tensor]]:
        """The gradients of the sparse parameters."""
        for name in self.run.masks:
            gradient = self.model.get_parameter(name).grad
            assert gradient is not None
            yield name, gradient

    def held(self) -> Iterator[Tensor]:
        """Everything that has to be zero between two steps: masked weights and what the optimizer remembers of them."""
        for name, mask in self.run.masks.items():
            parameter = self.model.get_parameter(name)
            yield parameter.detach()[~mask]
            states = [each for each in self.state.state[parameter].values() if each.shape == parameter.shape]
            assert states
            yield from (each[~mask] for each in states)


@pytest.fixture
def trainer(make_net: Callable[[], nn.Module], batches: list[Batch]) -> Callable[..., Trainer]:
    """Return a function that makes a trainer of the small network."""

    def make(method: Method, **options: Any) -> Trainer:
        return Trainer(method, make_net(), batches, **options)

    return make
