"""Channel classes written by hand, so that allocation is tested without a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.graph import ChannelGroup, Channels
from niwaki.methods import Run
from niwaki.records import Slice
from niwaki.tasks import Depth, Segmentation, Task, task_losses

Dims = dict[tuple[str, int], list[list[int]]]
MakeChannels = Callable[..., Channels]


@dataclass
class FakeTraced:
    """Only the shapes."""

    shapes: dict[str, tuple[int, ...]]


@dataclass
class FakeChannels:
    """What allocation and criteria read."""

    traced: FakeTraced
    tensors: dict[str, tuple[Any, ...]]
    removable: NDArray[np.bool_]
    groups: tuple[ChannelGroup, ...]
    equal_chunks: list[list[NDArray[np.int64]]]


def _group(name: str, first: int, dims: Dims) -> ChannelGroup:
    count = len(next(iter(dims.values())))
    keys = [tuple(len(positions[j]) for positions in dims.values()) for j in range(count)]
    numbers = {key: index for index, key in enumerate(dict.fromkeys(keys))}
    slices = tuple(
        Slice(tensor=tensor, dim=dim, positions=tuple(map(tuple, positions)))
        for (tensor, dim), positions in dims.items()
    )
    strata = np.array([numbers[key] for key in keys])
    return ChannelGroup(name, np.arange(first, first + count), slices, strata)


@pytest.fixture(scope="session")
def make_channels() -> MakeChannels:
    """Return a function that makes channel classes from groups of ``{(tensor, dim): positions of each channel}``."""

    def make(
        groups: Sequence[Dims], shapes: dict[str, tuple[int, ...]], equal: Sequence[Sequence[Sequence[int]]] = ()
    ) -> Channels:
        made, first = [], 1
        for index, dims in enumerate(groups):
            made.append(_group(f"group{index}", first, dims))
            first += made[-1].size
        tensors: dict[str, tuple[Any, ...]] = {
            name: tuple(np.zeros(size, dtype=np.int64) for size in shape) for name, shape in shapes.items()
        }
        for group in made:
            for piece in group.slices:
                for label, positions in zip(group.classes, piece.positions, strict=True):
                    tensors[piece.tensor][piece.dim][list(positions)] = label
        removable = np.arange(first) > 0
        chunks = [[np.array(piece) for piece in pieces] for pieces in equal]
        return cast("Channels", FakeChannels(FakeTraced(shapes), tensors, removable, tuple(made), chunks))

    return make


@pytest.fixture(scope="session")
def tasks() -> list[Task]:
    """The tasks of the small network."""
    return [Segmentation(5, name="classes"), Depth()]


class Tiny(nn.Module):
    """A trunk of two layers, one of them with a norm, and two heads, one of them with a hidden layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 12, 1), nn.BatchNorm2d(12), nn.ReLU())
        self.second = nn.Sequential(nn.Conv2d(12, 10, 1), nn.ReLU())
        self.classes = nn.Conv2d(10, 5, 1)
        self.depth = nn.Sequential(nn.Conv2d(10, 6, 1), nn.ReLU(), nn.Conv2d(6, 1, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.second(self.first(x))
        return {"classes": self.classes(features), "depth": self.depth(features)}


@pytest.fixture
def tiny() -> nn.Module:
    """A tiny network, the same every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Tiny()


@pytest.fixture(scope="session")
def step() -> Callable[..., nn.Module]:
    """Return somebody's training step, which knows a method only by its hooks."""

    def take(model: nn.Module, run: Run, optimizer: Optimizer, batch: Any, tasks: list[Task]) -> nn.Module:
        x, targets = batch
        losses = task_losses(tasks, model(x), targets)
        run.before_backward(model, losses)
        optimizer.zero_grad()
        (torch.stack(list(losses.values())).sum() + run.penalty(model)).backward()
        run.after_backward(model)
        optimizer.step()
        return run.after_step(model, optimizer)

    return take
