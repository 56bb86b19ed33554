"""What `sharing.py` trains: tasks with a network each.

Where there is a GPU, three networks and four have their full width, and twenty a quarter of it with at most 60 filters
a layer; full width takes a CPU days, so that there they are narrower and trained for fewer steps.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from harness import find_data
from niwaki.data import DigitsByTask, Splits, datasets
from niwaki.models import VGG, ModelSettings, ResNetUNet, RoutedVGG

__all__ = ["PROBLEMS", "SCALE", "Opened", "Problem"]

SCALE = "full" if torch.cuda.is_available() else "small"

Opened = Splits[Any]


@dataclass(frozen=True)
class Problem:
    """Tasks and their networks.

    Attributes:
        data: Opens the data; raises FileNotFoundError where it is not there.
        nets: Kind of network to its settings for one task.
        batch: Samples of each task in a batch.
        steps: Optimizer steps in all.
        full: What differs at full scale.
    """

    data: Callable[[], Opened]
    nets: dict[str, Callable[[tuple[str, ...]], ModelSettings]]
    batch: int
    steps: int
    full: dict[str, Any]

    def at(self, scale: str) -> "Problem":
        """Return the problem at a scale: ``"small"`` or ``"full"``."""
        return replace(self, **self.full) if scale == "full" else self


def _digits(train: int, test: int) -> Callable[[], Opened]:
    def opened() -> Opened:
        find_data("fashion_mnist")
        tasks = {"digits": "mnist", "garments": "fashion_mnist", "turned": {"folder": "mnist", "turns": 1}}
        return DigitsByTask(root=find_data("mnist").parent, tasks=tasks, train=train, val=500, test=test).open()

    return opened


def _cifar(count: int) -> Callable[[], Opened]:
    def opened() -> Opened:
        splits = datasets.get("cifar100")(root=find_data("cifar100_tiny")).open()
        some = list(splits.train)[:: max(1, len(splits.train) // count)][:count]
        parts = {split: {task: getattr(splits, split)[task] for task in some} for split in ("train", "val", "test")}
        return Splits(**parts, tasks=tuple(each for each in splits.tasks if each["name"] in some))

    return opened


def _rooms(size: tuple[int, int], train: int) -> Callable[[], Opened]:
    return lambda: datasets.get("rooms")(size=size, train=train, val=60, test=120).open()


def _routed(width: float = 1.0, **shape: Any) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda _: RoutedVGG(norm="shared", width=width, **shape)


def _resnet(width: float, channels: int = 3) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda tasks: ResNetUNet(width=width, in_channels=channels, pooled=tasks)


def _maps(kind: type[ModelSettings], width: float) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda _: kind(width=width)


def _full(data: Callable[[], Opened], vgg: Any, resnet: Any, batch: int, steps: int) -> dict[str, Any]:
    return {"data": data, "nets": {"vgg": vgg, "resnet": resnet}, "batch": batch, "steps": steps}


_QUARTER = {"width": 0.25, "channels": (64, 128, 240, 240, 240)}
"""A quarter of VGG-16's width, with at most 60 filters a layer."""

_FOUR_STAGES = {"in_channels": 1, "channels": (64, 128, 256, 512), "depths": (2, 2, 3, 3)}
"""VGG-16 for pictures of 28x28, which a fifth stage would leave nothing of."""

PROBLEMS = {
    "digits": Problem(
        _digits(8000, 2000),
        {"vgg": _routed(in_channels=1, channels=(16, 32, 64), depths=(2, 2, 2)), "resnet": _resnet(0.125, 1)},
        batch=32,
        steps=1200,
        full=_full(_digits(50_000, 10_000), _routed(**_FOUR_STAGES), _resnet(1, 1), 64, 6000),
    ),
    "cifar4": Problem(
        _cifar(4),
        {"vgg": _routed(0.25), "resnet": _resnet(0.25)},
        batch=16,
        steps=1500,
        full=_full(_cifar(4), _routed(), _resnet(1), 32, 3000),
    ),
    "cifar20": Problem(
        _cifar(20),
        {"vgg": _routed(0.117), "resnet": _resnet(0.117)},
        batch=8,
        steps=800,
        full=_full(_cifar(20), _routed(**_QUARTER), _resnet(0.25), 16, 2000),
    ),
    "rooms": Problem(
        _rooms((48, 64), 400),
        {"vgg": _maps(VGG, 0.125), "resnet": _maps(ResNetUNet, 0.25)},
        batch=8,
        steps=300,
        full=_full(_rooms((144, 192), 1200), _maps(VGG, 1), _maps(ResNetUNet, 1), 8, 3000),
    ),
}
