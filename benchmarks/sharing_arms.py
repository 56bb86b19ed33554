"""The ways that `sharing.py` compares: they lead from tasks with a network each to fewer bytes.

Every way takes as many optimizer steps in all, with the same batches of every task in each. Those that merge or prune
begin with the same trained networks, which are trained once for each seed and kept.
"""

import hashlib
import json
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

import niwaki as nw
from harness import CACHE, code_version
from niwaki.atomic import write_atomically
from niwaki.contract import Example, is_routed, route
from niwaki.methods.share import FilterSharing
from niwaki.models import ModelSettings, NetsByTask, RoutedVGG
from niwaki.records.sharing import Sharing
from niwaki.tasks import Task, build_tasks
from niwaki.train.loader import open_batches
from sharing_problems import PROBLEMS, Opened, Problem

__all__ = ["Prepared", "measure_arm"]

PARENT_SHARE = 0.6
"""Of all steps: those after which networks are merged or pruned."""


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
    def of(cls, name: str, kind: str, scale: str, seed: int) -> "Prepared":
        """Open the data."""
        problem = PROBLEMS[name].at(scale)
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

    def training(self, steps: int) -> nw.Training:
        """Return the settings of every training."""
        return nw.Training(
            steps=max(1, steps), lr=self.lr, batch_size=self.problem.batch, warmup=0.05, precision="32-true",
            seed=self.seed,
        )  # fmt: skip

    def train(self, model: nn.Module, steps: int, method: Any = None) -> nw.train.Fitted:
        """Train, with a method at work where one is given."""
        return nw.fit(model, self.tasks, self.splits.train, training=self.training(steps), method=method)

    def share(self, model: nn.Module, method: FilterSharing) -> tuple[nn.Module, Sharing]:
        """Share filters and train no more, on the batches that a training would begin with."""
        batches = open_batches(self.splits.train, self.training(1), self.tasks, shuffle=True)
        made, run = method.start(model, self.example(model), self.tasks, steps=0, data=batches.peek())
        return run.finish(made), run.findings()["sharing"]

    def kept(self, name: str) -> Path:
        """Return where something is kept that depends on the trained networks alone."""
        facts = [code_version(), self.kind, self.seed, self.lr, self.problem.batch, self.problem.steps, self.names]
        facts.append(sum(each.numel() for each in self.build().parameters()))
        stem, suffix = name.split(".")
        return CACHE / f"{stem}-{hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]}.{suffix}"

    def parent(self) -> nn.Module:
        """Return the trained networks, from the cache where they are there."""
        path = self.kept("parent.safetensors")
        if not path.exists():
            trained = self.train(self.build(), round(PARENT_SHARE * self.problem.steps)).model
            nw.save(trained, path, tasks=self.tasks, example=self.example(trained))
        return nw.load(self.build(), path)

    def rates(self, parent: nn.Module, rate: float | str) -> dict[str, Any]:
        """Return what filter sharing is told of its rates where it does not choose them.

        Adaptive ones are those that a search chose: other ways keep as many filters of each layer.
        """
        if rate != "adaptive":
            return {"rate": rate}
        path = self.kept("rates.json")
        if not path.exists():
            found = self.share(parent, FilterSharing(rate="adaptive", seed=self.seed))[1]
            write_atomically(path, json.dumps({each.name: each.bank[0] / each.filters for each in found.layers}))
        return {"rate": 1.0, "rates": json.loads(path.read_text(encoding="utf-8"))}

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


def measure_arm(problem: str, net: str, arm: str, rate: float | str, scale: str, seed: int) -> dict[str, Any]:
    """Lead to a small model in one way, and measure it."""
    ready = Prepared.of(problem, net, scale, seed)
    parent = ready.parent()
    model, more = _make(ready, parent, arm, rate)
    quality = ready.quality(model)
    higher = {task.name: task.directions[task.primary] == "higher" for task in ready.tasks}
    alike = len({task.primary for task in ready.tasks}) == 1 and all(higher.values())
    return {
        "bytes": ready.bytes_of(model) / ready.bytes_of(parent),
        "quality": quality,
        "mean": sum(quality.values()) / len(quality) if alike else None,
        "worst": min(quality.values()) if alike else None,
        "higher": higher,
        **more,
    }


def _make(ready: Prepared, parent: nn.Module, arm: str, rate: float | str) -> tuple[nn.Module, dict[str, Any]]:
    if arm == "dense":
        return ready.train(parent, ready.later).model, {}
    if arm in {"separate", "hard"}:
        size = _bytes_at(ready, parent, rate)
        return (_separate(ready, parent, size) if arm == "separate" else _hard(ready, size)), {}
    told = {"rate": rate} if arm == "many_objective" else ready.rates(parent, rate)
    fitted = ready.train(parent, ready.later, FilterSharing(**told, selector={"kind": arm}, seed=ready.seed))
    sharing = fitted.findings["sharing"]
    picked = sharing.fronts[0].picked_by if sharing.fronts else ""
    lost = sum(each.distance * each.filters for each in sharing.layers) / sum(each.filters for each in sharing.layers)
    return fitted.model, {"lost at first": lost, "picked by": picked}


def _bytes_at(ready: Prepared, parent: nn.Module, rate: float | str) -> int:
    """Return the bytes that sharing at a rate takes; which filters are kept does not matter for that."""
    method = FilterSharing(**ready.rates(parent, rate), selector={"kind": "importance"}, calibration_batches=1)
    return ready.bytes_of(ready.share(parent, method)[0])


def _separate(ready: Prepared, parent: nn.Module, size: int) -> nn.Module:
    """Prune every network by itself, each layer by the same share, until they take as many bytes."""
    method = nw.StructuredPruning(criterion=nw.Magnitude(), budget=nw.Budget(bytes=size), round_to=1, rounds=1)
    return ready.train(parent, ready.later, method).model


def _hard(ready: Prepared, size: int) -> nn.Module:
    """Train one network with a head for each task, as narrow as some bytes allow but no smaller, for all the steps."""
    settings = ready.problem.nets[ready.kind](ready.names)
    if isinstance(settings, RoutedVGG):
        settings = settings.model_copy(update={"norm": "per_task"})
    widths = [settings.width * step / 32 for step in range(1, 32 * len(ready.names) + 1)]
    found = bisect_left(widths, size, key=lambda width: _stored(_wide(settings, width), ready.outputs))
    model = _wide(settings, widths[min(found, len(widths) - 1)]).build(ready.outputs, seed=ready.seed)
    return ready.train(model, ready.problem.steps).model


def _wide(settings: ModelSettings, width: float) -> ModelSettings:
    return settings.model_copy(update={"width": width})


def _stored(settings: ModelSettings, outputs: dict[str, int]) -> int:
    model = settings.build(outputs)
    return sum(each.numel() * each.element_size() for each in (*model.parameters(), *model.buffers()))
