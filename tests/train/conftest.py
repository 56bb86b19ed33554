"""A small two-task problem that a network of a few hundred weights can learn."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.tasks import Depth, Segmentation, Task


class Squares:
    """Random pictures; the class of a pixel is whether its first channel is positive, its depth a sum of channels."""

    def __init__(self, count: int = 12, size: int = 8, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.pictures = torch.randn(count, 3, size, size, generator=generator)

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        x = self.pictures[index]
        return x, {"segmentation": (x[0] > 0).long(), "depth": x.abs().sum(0, keepdim=True) + 0.5}


class TwoHeads(nn.Module):
    """A trunk with BatchNorm and dropout, and a head for each task."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout(0.1),
        )
        self.segmentation = nn.Conv2d(width, 2, 1)
        self.depth = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = self.trunk(x)
        return {"segmentation": self.segmentation(features), "depth": self.depth(features)}


class Routed(nn.Module):
    """One task per call: shared convolutions, and batch norms and a head of each task's own."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norms = nn.ModuleDict({task: nn.BatchNorm2d(width) for task in ("segmentation", "depth")})
        self.heads = nn.ModuleDict({"segmentation": nn.Conv2d(width, 2, 1), "depth": nn.Conv2d(width, 1, 1)})
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor, task: str) -> dict[str, Tensor]:
        features = torch.relu(self.norms[task](self.second(torch.relu(self.first(x)))))
        return {task: self.heads[task](self.dropout(features))}


@pytest.fixture
def tasks() -> list[Task]:
    return [Segmentation(2), Depth()]


@pytest.fixture
def squares() -> Squares:
    return Squares()


@pytest.fixture
def make_squares() -> Callable[..., Squares]:
    return Squares


@pytest.fixture
def net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return TwoHeads()


@pytest.fixture
def routed() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        return Routed()


@pytest.fixture
def same_bits() -> Callable[[nn.Module, nn.Module], bool]:
    def compare(first: nn.Module, second: nn.Module) -> bool:
        mine, theirs = first.state_dict(), second.state_dict()
        return list(mine) == list(theirs) and all(torch.equal(mine[name], theirs[name]) for name in mine)

    return compare


@pytest.fixture
def read_rows() -> Callable[[Path], list[dict[str, Any]]]:
    """Return a function that reads the rows of a `metrics.jsonl`."""

    def read(path: Path) -> list[dict[str, Any]]:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    return read


class Flaky:
    """Stops the training by an exception at a step, as a kill would, from inside the data."""

    def __init__(self, batches: list[Any], stop_at: int) -> None:
        self.batches = batches
        self.left = stop_at

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches:
            if self.left == 0:
                raise InterruptedError("stopped on purpose")
            self.left -= 1
            yield batch


@pytest.fixture
def make_flaky() -> Callable[[list[Any], int], Flaky]:
    return Flaky
