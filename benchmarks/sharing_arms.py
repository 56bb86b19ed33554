"""What `sharing.py` trains: tasks with a network each, and the ways that lead to fewer bytes.

Every way takes as many optimizer steps in all, with the same batches of every task in each. Those that merge or prune
begin with the same trained networks, which are trained once for each seed and kept.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

import niwaki as nw
from harness import CACHE, code_version, find_data
from niwaki.contract import Example, is_routed, route
from niwaki.data import DigitsByTask, Splits, datasets
from niwaki.methods.share import FilterSharing
from niwaki.models import ModelSettings, NetsByTask, ResNetUNet, RoutedVGG
from niwaki.tasks import Task, build_tasks
from niwaki.train.loader import open_batches

__all__ = ["PROBLEMS", "Prepared", "measure_arm"]

PARENT_SHARE = 0.6
"""Of all steps: those after which networks are merged or pruned."""

Opened = Splits[Any]


@dataclass(frozen=True)
class Problem:
    """Tasks and their networks.

    Attributes:
        data: Opens the data; raises FileNotFoundError where it is not there.
        nets: Kind of network to its settings for one task.
        batch: Samples of each task in a batch.
        steps: Optimizer steps in all.
    """

    data: Callable[[], Opened]
    nets: dict[str, Callable[[tuple[str, ...]], ModelSettings]]
    batch: int
    steps: int


@dataclass(frozen=True)
class Prepared:
    """A problem with its data opened, and one kind of network."""

    problem: Problem
    kind: str
    splits: Opened
    tasks: tuple[Task, ...]
    seed: int
    lr: float = 2e-3

    @classmethod
    def of(cls, name: str, kind: str, seed: int) -> "Prepared":
        """Open the data."""
        problem = PROBLEMS[name]
        splits = problem.data()
        return cls(problem, kind, splits, build_tasks(splits.tasks), seed)

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(task.name for task in self.tasks)

    @property
    def outputs(self) -> dict[str, int]:
        """Output channels of each task."""
        widths = {"depth": 1, "normals": 3}
        return {
            task.name: told["classes"] if "classes" in told else widths[told["kind"]]
            for task, told in zip(self.tasks, self.splits.tasks, strict=True)
        }

    def example(self, model: nn.Module) -> Any:
        """One picture, or one for each task where tasks have their own."""
        test = self.splits.test
        one = {name: (test[name] if isinstance(test, dict) else test)[0][0][None] for name in self.names}
        if not is_routed(model):
            return one[self.names[0]]
        return [route(model, Example(image), name) for name, image in one.items()]

    def build(self) -> nn.Module:
        """Make a network for each task, all with one start."""
        return NetsByTask(net=self.problem.nets[self.kind](self.names)).build(self.outputs, seed=self.seed)

    def train(self, model: nn.Module, steps: int, method: Any = None) -> nw.train.Fitted:
        """Train, with a method at work where one is given."""
        training = nw.Training(
            steps=max(1, steps), lr=self.lr, batch_size=self.problem.batch, warmup=0.05, precision="32-true",
            device="cpu", seed=self.seed,
        )  # fmt: skip
        return nw.fit(model, self.tasks, self.splits.train, training=training, method=method)

    def parent(self) -> nn.Module:
        """Return the trained networks, from the cache where they are there."""
        facts = [code_version(), self.kind, self.seed, self.lr, self.problem.batch, self.problem.steps, self.names]
        facts.append(sum(each.numel() for each in self.build().parameters()))
        path = CACHE / f"parent-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.safetensors"
        if not path.exists():
            trained = self.train(self.build(), round(PARENT_SHARE * self.problem.steps)).model
            nw.save(trained, path, tasks=self.tasks, example=self.example(trained))
        return nw.load(self.build(), path)

    @property
    def later(self) -> int:
        """Steps that are left after the parent's."""
        return self.problem.steps - round(PARENT_SHARE * self.problem.steps)

    def bytes_of(self, model: nn.Module) -> int:
        """Count a model's bytes, index and scales included."""
        return nw.measure(model, self.example(model), tasks=list(self.names)).whole.bytes

    def quality(self, model: nn.Module) -> dict[str, float]:
        """Measure each task's primary metric on the test split."""
        found = nw.evaluate(model, self.tasks, self.splits.test, batch_size=64)
        return {task.name: found[task.name][task.primary] for task in self.tasks}


def measure_arm(problem: str, net: str, arm: str, rate: float | str, seed: int) -> dict[str, Any]:
    """Lead to a small model in one way, and measure it."""
    ready = Prepared.of(problem, net, seed)
    parent = ready.parent()
    model, more = _make(ready, parent, arm, rate)
    quality = ready.quality(model)
    higher = all(task.directions[task.primary] == "higher" for task in ready.tasks)
    return {
        "bytes": ready.bytes_of(model) / ready.bytes_of(parent),
        "quality": quality,
        "mean": sum(quality.values()) / len(quality),
        "worst": min(quality.values()) if higher else None,
        "higher": {task.name: task.directions[task.primary] == "higher" for task in ready.tasks},
        **more,
    }


def _make(ready: Prepared, parent: nn.Module, arm: str, rate: float | str) -> tuple[nn.Module, dict[str, Any]]:
    if arm == "dense":
        return ready.train(parent, ready.later).model, {}
    if arm in {"separate", "hard"}:
        size = _bytes_at(ready, parent, rate)
        return (_separate(ready, parent, size) if arm == "separate" else _hard(ready, size)), {}
    fitted = ready.train(parent, ready.later, FilterSharing(rate=rate, selector={"kind": arm}, seed=ready.seed))
    sharing = fitted.findings["sharing"]
    picked = sharing.fronts[0].picked_by if sharing.fronts else ""
    lost = sum(each.distance * each.filters for each in sharing.layers) / sum(each.filters for each in sharing.layers)
    return fitted.model, {"lost at first": lost, "picked by": picked}


def _bytes_at(ready: Prepared, parent: nn.Module, rate: float | str) -> int:
    """Return the bytes that sharing at a rate takes; which filters are kept does not matter for that."""
    batches = open_batches(ready.splits.train, nw.Training(steps=1, batch_size=8), ready.tasks, shuffle=True)
    method = FilterSharing(rate=rate, selector={"kind": "importance"}, calibration_batches=1)
    model, run = method.start(parent, ready.example(parent), ready.tasks, steps=0, data=batches.peek())
    return ready.bytes_of(run.finish(model))


def _separate(ready: Prepared, parent: nn.Module, size: int) -> nn.Module:
    """Prune every network by itself, each layer by the same share, until they take as many bytes."""
    method = nw.StructuredPruning(criterion=nw.Magnitude(), budget=nw.Budget(bytes=size), round_to=1, rounds=1)
    return ready.train(parent, ready.later, method).model


def _hard(ready: Prepared, size: int) -> nn.Module:
    """Train one network with a head for each task, of the width that comes nearest to some bytes, for all the steps."""
    settings = ready.problem.nets[ready.kind](ready.names)
    if isinstance(settings, RoutedVGG):
        settings = settings.model_copy(update={"norm": "per_task"})
    widths = [settings.width * step / 32 for step in range(8, 97)]
    sizes = {width: _stored(settings.model_copy(update={"width": width}), ready.outputs) for width in widths}
    width = min(widths, key=lambda each: abs(sizes[each] - size))
    model = settings.model_copy(update={"width": width}).build(ready.outputs, seed=ready.seed)
    return ready.train(model, ready.problem.steps).model


def _stored(settings: ModelSettings, outputs: dict[str, int]) -> int:
    model = settings.build(outputs)
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))


def _digits() -> Opened:
    find_data("fashion_mnist")
    tasks = {"digits": "mnist", "garments": "fashion_mnist", "turned": {"folder": "mnist", "turns": 1}}
    return DigitsByTask(root=find_data("mnist").parent, tasks=tasks, train=8000, val=500, test=2000).open()


def _cifar(count: int) -> Callable[[], Opened]:
    def opened() -> Opened:
        splits = datasets.get("cifar100")(root=find_data("cifar100_tiny")).open()
        some = list(splits.train)[:: max(1, len(splits.train) // count)][:count]
        parts = {split: {task: getattr(splits, split)[task] for task in some} for split in ("train", "val", "test")}
        return Splits(**parts, tasks=tuple(each for each in splits.tasks if each["name"] in some))

    return opened


def _rooms() -> Opened:
    return datasets.get("rooms")(size=(48, 64), train=400, val=60, test=120).open()


def _small_vgg(channels: int) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda _: RoutedVGG(norm="shared", in_channels=channels, channels=(16, 32, 64), depths=(2, 2, 2))


def _vgg16(width: float) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda _: RoutedVGG(norm="shared", width=width)


def _resnet(width: float, channels: int = 3) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda tasks: ResNetUNet(width=width, in_channels=channels, pooled=tasks)


def _maps(kind: type[ModelSettings], width: float) -> Callable[[tuple[str, ...]], ModelSettings]:
    return lambda _: kind(width=width)


PROBLEMS = {
    "digits": Problem(_digits, {"vgg": _small_vgg(1), "resnet": _resnet(0.125, 1)}, 32, 1200),
    "cifar4": Problem(_cifar(4), {"vgg": _vgg16(0.25), "resnet": _resnet(0.25)}, 16, 1500),
    "cifar20": Problem(_cifar(20), {"vgg": _vgg16(0.117), "resnet": _resnet(0.117)}, 8, 800),
    "rooms": Problem(_rooms, {"resnet": _maps(ResNetUNet, 0.25), "vgg": _maps(nw.models.VGG, 0.125)}, 8, 300),
}
