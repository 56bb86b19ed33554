"""`compress`: a multi-task model in, a smaller one out, and a record of what it kept and cost."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import torch
from lightning_fabric.utilities import move_data_to_device
from torch import nn

from niwaki.balance import Balancer
from niwaki.errors import MeasureError
from niwaki.measure import measure
from niwaki.methods.base import Method
from niwaki.modules import device_of, unwrap
from niwaki.records import Compression, Cost, DeltaRecord, Environment, Plan, Quality, Record, delta
from niwaki.records.delta import CONVENTIONS
from niwaki.surgery import plans_of
from niwaki.tasks import Protocol, Task
from niwaki.train.batch import relocate_example
from niwaki.train.doors import check_job, read_balance, require
from niwaki.train.engine import Engine
from niwaki.train.evaluate import evaluate
from niwaki.train.fit import Fitted, fit
from niwaki.train.loader import open_batches
from niwaki.train.progress import Progress
from niwaki.train.samples import first_example
from niwaki.train.settings import Training
from niwaki.train.stage import Stage

__all__ = ["Baseline", "Result", "compress"]


@dataclass(frozen=True)
class Baseline:
    """What the small model is compared with, where that is not the model as it was given.

    Attributes:
        quality: Task to metric to value, measured in the same way.
        kind: ``"dense_multi_task"``, ``"single_task"`` or ``"published:<id>"``.
    """

    quality: Quality
    kind: str = "dense_multi_task"


@dataclass(frozen=True)
class Result:
    """A compressed model and what is known of it.

    Attributes:
        model: The small model: plain, on the device and in the mode of the one that was given.
        record: What was measured; it prints as a table, the worst task first.
        fitted: How the training went.
    """

    model: nn.Module
    record: Record
    fitted: Fitted


def compress(  # noqa: PLR0913 - what is compressed, on what, and how; each stands alone
    model: nn.Module,
    tasks: Sequence[Task],
    train_data: Any,
    val_data: Any,
    *,
    method: Method,
    training: Training,
    balance: Balancer | nn.Module | None = None,
    teacher: nn.Module | None = None,
    baseline: Baseline | None = None,
    test_data: Any = None,
    protocol: Protocol = "pixel",
    out: Stage | str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Make a model smaller while it trains, and measure both models in the same way.

    The epoch is picked on ``val_data`` by ``training.select``, relative to the given model's own quality there; the
    record's quality is taken on ``test_data`` where it is given, in full precision. The example for counting is one
    sample of the first batch.

    Args:
        model: The dense model, trained; it stays as it is.
        tasks: The tasks.
        train_data: Training data, as for `fit`.
        val_data: Validation data: a split carved from the training data, not the test split.
        method: How it is made smaller.
        training: How the small model is trained.
        balance: Makes one scalar of the losses, as for `fit`; their sum when None.
        teacher: Whose answers ``training.distill`` refers to; by default the given model.
        baseline: What deltas refer to; by default the given model's quality.
        test_data: Where the record's quality is measured; by default ``val_data``.
        protocol: ``"pixel"`` or ``"mtan"``.
        out: A directory, or a run directory's stage, for checkpoint and metrics; None keeps nothing.
        resume: Whether to go on from the checkpoint in ``out``.
        progress: Who watches.

    Returns:
        The small model, its record, and how the training went.

    Raises:
        ContractError: When an argument is no such thing, or the whole model is frozen.
        BudgetError: When the method's budget is out of reach.
        GraphError: When the model can't be exported.
        TrainingError: As `fit`, and its other errors.

    Examples:
        >>> import torch
        >>> from niwaki.methods.prune import StructuredPruning
        >>> from niwaki.tasks import Depth
        >>> _ = torch.manual_seed(0)
        >>> net = nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, 1, 1))
        >>> batch = (torch.rand(2, 1, 4, 4), {"depth": torch.full((2, 1, 4, 4), 2.0)})
        >>> half = StructuredPruning(budget={"channels": 0.5})
        >>> result = compress(net, [Depth()], [batch], [batch], method=half, training=Training(steps=2))
        >>> result.record.cost["small"].whole.params, result.model[0].out_channels
        (25, 8)
    """
    began = time.perf_counter()
    require("method", method)
    tasks = check_job(model, tasks, training, method=method, balance=balance, teacher=teacher)
    balancer = read_balance(balance)
    ruler = _Ruler(tasks, training, protocol, progress)
    measured_on = val_data if test_data is None else test_data
    parent = ruler.quality(model, measured_on)
    fitted = fit(
        model,
        tasks,
        train_data,
        val_data,
        training=training,
        method=method,
        balance=balancer,
        teacher=teacher,
        reference=parent if test_data is None else ruler.quality(model, val_data),
        out=out,
        resume=resume,
        progress=progress,
    )
    small = ruler.quality(fitted.model, measured_on)
    base = baseline if baseline is not None else Baseline(parent)
    deltas, notes = _deltas(small, base, tasks)
    seconds = {"training": fitted.seconds, "compress": time.perf_counter() - began}
    record = Record(
        cost=ruler.costs(model, fitted.model, train_data),
        quality={"dense": base.quality, "small": small, **({} if baseline is None else {"parent": parent})},
        delta=deltas,
        split="validation" if test_data is None else "test",
        picked_by=fitted.picked_by,
        plans=tuple(Plan.from_json(plan.to_json()) for plan in plans_of(fitted.model)),  # as records, without `apply`
        cuts=fitted.cuts,
        compression=Compression(
            seconds=seconds,
            steps={"training": fitted.steps},
            notes=(f"trained in {fitted.precision}", *fitted.notes, *notes),
        ),
        recipe=_recipe(method, training, balancer),
        **ruler.stated(),
        **fitted.findings,
    )
    return Result(fitted.model, record, fitted)


@dataclass(frozen=True)
class _Ruler:
    """Measures any model in the same way: in full precision, on the device of the training."""

    tasks: tuple[Task, ...]
    training: Training
    protocol: Protocol
    progress: Progress | None

    def quality(self, model: nn.Module, data: Any) -> Quality:
        return evaluate(
            model,
            self.tasks,
            data,
            protocol=self.protocol,
            device=self.training.device,
            batch_size=self.training.batch_size,
            num_workers=self.training.num_workers,
            progress=self.progress,
        )

    def stated(self) -> dict[str, Any]:
        """Return the fields of a record that say how was measured."""
        return {
            "primary": {task.name: task.primary for task in self.tasks},
            "directions": {task.name: dict(task.directions) for task in self.tasks},
            "protocol": self.protocol,
            "environment": Environment.capture(_devices(self.training)),
            "seed": self.training.seed,
        }

    def costs(self, dense: nn.Module, small: nn.Module, data: Any) -> dict[str, Cost]:
        home = device_of(dense)
        batches = open_batches(data, self.training, self.tasks, shuffle=True)
        one = first_example(batches, self.tasks, unwrap(dense))
        example = relocate_example(one, lambda value: move_data_to_device(value, home))
        names = [task.name for task in self.tasks]
        return {name: measure(each, example, tasks=names) for name, each in (("dense", dense), ("small", small))}


def _deltas(small: Quality, base: Baseline, tasks: Sequence[Task]) -> tuple[dict[str, DeltaRecord], list[str]]:
    """Return the deltas that can be taken, and why the others can't."""
    found: dict[str, DeltaRecord] = {}
    notes: list[str] = []
    for convention in CONVENTIONS:
        try:
            found[convention] = delta(small, base.quality, tasks, convention=convention, baseline_kind=base.kind)
        except MeasureError as error:
            notes.append(f"no delta {convention}: {error}")
    return found, notes


def _devices(training: Training) -> tuple[str, ...]:
    device = Engine.of(training).device
    return (torch.cuda.get_device_name(device),) if device.type == "cuda" else ()


def _recipe(method: Method, training: Training, balance: Balancer) -> dict[str, Any]:
    return {
        "method": method.model_dump(mode="json"),
        "training": training.model_dump(mode="json"),
        "balance": balance.describe(),
    }
