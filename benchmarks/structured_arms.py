"""What `structured.py` trains: data sets with a network each, and the ways that lead to a small network.

Every way takes as many optimizer steps in all as the dense network, from the same random weights and in the same order
of samples; `anew` alone may look for its shapes beside them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import niwaki as nw
from harness import find_data
from niwaki.data import DataSettings, Splits, datasets
from niwaki.models import VGG, ConvNet, ModelSettings, ResNetUNet
from niwaki.surgery import plans_of
from niwaki.tasks import Task, build_tasks

__all__ = ["ARMS", "ITERATIVE", "PROBLEMS", "Job", "Prepared", "Problem"]

ITERATIVE: dict[str, Any] = {"rounds": 6, "begin": 0.1, "until": 0.6}
"""When the iterative arm and the peer cut; the last 40 % of the steps tune what is left."""
FRESH = 1000
"""What is added to the seed where a network starts from random weights a second time."""


@dataclass(frozen=True)
class Problem:
    """A data set and the network that learns it.

    Attributes:
        data: Makes the data's settings; raises FileNotFoundError where the data is not there.
        model: The dense network.
        batch: Samples in a batch.
        steps: Optimizer steps in all.
        options: What pruning is told beside criterion and budget; the same for every criterion.
    """

    data: Callable[[], DataSettings]
    model: ModelSettings
    batch: int
    steps: int
    options: dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """A problem with its data opened."""

    problem: Problem
    splits: Splits
    tasks: Sequence[Task]

    @classmethod
    def of(cls, problem: Problem) -> "Prepared":
        """Open the data."""
        splits = problem.data().open()
        return cls(problem, splits, build_tasks(splits.tasks))

    @property
    def example(self) -> Tensor:
        """One picture."""
        return self.splits.test[0][0][None]

    def build(self, seed: int) -> nn.Module:
        """Make the dense network with random weights."""
        widths = {"depth": 1, "normals": 3}
        outputs = {
            task.name: told["classes"] if "classes" in told else widths[told["kind"]]
            for task, told in zip(self.tasks, self.splits.tasks, strict=True)
        }
        return self.problem.model.build(outputs, seed=seed)

    def train(self, model: nn.Module, job: "Job", steps: int, method: nw.StructuredPruning | None = None) -> nn.Module:
        """Train a network, pruning it meanwhile where a method is given."""
        training = self.training(job, steps)
        return nw.fit(model, self.tasks, self.splits.train, training=training, method=method).model

    def training(self, job: "Job", steps: int) -> nw.Training:
        """Return how networks are trained, the peer's as well."""
        return nw.Training(
            steps=steps, lr=job.lr, batch_size=self.problem.batch, warmup=0.05, precision="32-true", device="cpu",
            seed=job.seed,
        )  # fmt: skip

    def quality(self, model: nn.Module, split: str) -> list[float]:
        """Measure each task's primary metric."""
        found = nw.evaluate(model, self.tasks, getattr(self.splits, split), batch_size=64)
        return [found[task.name][task.primary] for task in self.tasks]


@dataclass(frozen=True)
class Job:
    """One small network to make.

    Attributes:
        criterion: Kind of the criterion, or its settings.
        macs: The share of the multiply-accumulates that stays.
        lr: Peak learning rate.
        seed: Of weights and order.
        changes: Settings of the method that are not the benchmark's.
    """

    criterion: Any
    macs: float
    lr: float
    seed: int
    changes: dict[str, Any]

    def method(self, problem: Problem, **more: Any) -> nw.StructuredPruning:
        """Return the method."""
        criterion = self.criterion if isinstance(self.criterion, dict) else {"kind": self.criterion}
        if criterion["kind"] == "random":
            criterion = {**criterion, "seed": self.seed}
        given = {**ITERATIVE, **problem.options, **more, **self.changes}
        return nw.StructuredPruning(criterion=criterion, budget=nw.Budget(macs=self.macs), **given)


def dense(ready: Prepared, job: Job) -> nn.Module:
    """The network as it is."""
    return ready.train(ready.build(job.seed), job, ready.problem.steps)


def iterative(ready: Prepared, job: Job) -> nn.Module:
    """Cut in rounds while training goes on."""
    return ready.train(ready.build(job.seed), job, ready.problem.steps, job.method(ready.problem))


def retrain(ready: Prepared, job: Job) -> nn.Module:
    """Cut within the first 30 % of the steps, then train the small network from random weights."""
    method = job.method(ready.problem, until=0.3, then="retrain", build=lambda: ready.build(job.seed + FRESH))
    return ready.train(ready.build(job.seed), job, ready.problem.steps, method)


def anew(ready: Prepared, job: Job) -> nn.Module:
    """Train the shapes that the iterative arm ends with from random weights, for all the steps."""
    found = iterative(ready, job)
    small = ready.build(job.seed + FRESH)
    for plan in plans_of(found):
        small = plan.apply(small, verify=False)
    return ready.train(small, job, ready.problem.steps)


ARMS: dict[str, Callable[[Prepared, Job], nn.Module]] = {
    "dense": dense,
    "iterative": iterative,
    "retrain": retrain,
    "anew": anew,
}


def _digits() -> DataSettings:
    find_data("fashion_mnist")
    root = find_data("mnist").parent
    return datasets.get("two_digits")(root=root, right="fashion_mnist", train=20_000, val=1000, test=2000)


def _rooms() -> DataSettings:
    return datasets.get("rooms")(size=(48, 64), train=400, val=60, test=120)


def _large_rooms() -> DataSettings:
    return datasets.get("rooms")(size=(96, 96), train=400, val=60, test=120)


def _nyuv2() -> DataSettings:
    return datasets.get("nyuv2")(root=find_data("nyuv2_replica"), size=(48, 80), val=8)


_TRUNK = {"allocation": "global", "scope": "trunk", "round_to": 1, "floor": 3}

PROBLEMS = {
    "digits": Problem(_digits, ConvNet(size=(36, 36), in_channels=1, width=0.5), 64, 400, _TRUNK),
    "rooms": Problem(_rooms, ResNetUNet(width=0.5), 16, 150, _TRUNK),
    "nyuv2": Problem(_nyuv2, ResNetUNet(width=0.5), 8, 150, _TRUNK),
    "vgg": Problem(_large_rooms, VGG(width=0.25), 8, 150, {**_TRUNK, "scope": "all", "floor": 5}),
}
