"""Evaluation: every task's metrics over a whole split."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from niwaki.contract import answers, read_batch
from niwaki.errors import DataError
from niwaki.modules import device_of, evaluating, require_module, unwrap
from niwaki.records import Quality
from niwaki.tasks import Evaluation, Protocol, Task
from niwaki.train.batch import relocate
from niwaki.train.doors import read_tasks
from niwaki.train.engine import Engine
from niwaki.train.loader import open_batches
from niwaki.train.progress import Progress, Silent
from niwaki.train.randomness import own_randomness
from niwaki.train.settings import Precision, Training
from niwaki.train.streams import Batches

__all__ = ["evaluate", "evaluate_batches"]


def evaluate(  # noqa: PLR0913 - what is evaluated, on what, and how; each stands alone
    model: nn.Module,
    tasks: Sequence[Task],
    data: Any,
    *,
    protocol: Protocol = "pixel",
    device: str | None = None,
    precision: Precision = "32-true",
    batch_size: int = 8,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> Quality:
    """Measure every task of a model on a split; the model is left as it is, its mode too.

    Args:
        model: The model.
        tasks: The tasks.
        data: A map-style data set, an iterable of batches ``(x, {task: target})``, or a dict of these by task.
        protocol: ``"pixel"`` (every element of the split counts the same) or ``"mtan"`` (the mean of batch means).
        device: An accelerator of Lightning Fabric, or ``"cuda:1"`` and the like; by default where the model is.
        precision: ``"32-true"``, ``"bf16-mixed"`` or ``"auto"``.
        batch_size: Samples in a batch, for data that is a data set.
        num_workers: Processes that load samples, for data that is a data set.
        progress: Who watches.

    Returns:
        Task to metric to value.

    Raises:
        DataError: When the data holds no batch.
        ContractError: When an argument is no such thing, or the model or the data does not keep the contract.

    Examples:
        >>> from niwaki.tasks import Depth
        >>> batch = (torch.ones(2, 1, 4, 4), {"depth": torch.full((2, 1, 4, 4), 2.0)})
        >>> evaluate(nn.Identity(), [Depth()], [batch])["depth"]["abs"]
        1.0
    """
    require_module(model)
    tasks = read_tasks(tasks)
    home = device_of(model)
    loading = Training(steps=1, batch_size=batch_size, num_workers=num_workers)
    engine = Engine(device or str(home), precision)
    batches = open_batches(data, loading, tasks, shuffle=False, pin=engine.pins)
    try:
        return evaluate_batches(model, tasks, batches, engine=engine, protocol=protocol, progress=progress)
    finally:
        model.to(home)


def evaluate_batches(
    model: nn.Module,
    tasks: Sequence[Task],
    batches: Batches,
    *,
    engine: Engine,
    protocol: Protocol = "pixel",
    progress: Progress | None = None,
) -> Quality:
    """Measure every task of a model on an engine's device.

    Args:
        model: The model; it is brought to the engine's device and its mode is put back.
        tasks: The tasks.
        batches: The split.
        engine: Device and precision.
        protocol: How batches are averaged.
        progress: Who watches.

    Returns:
        Task to metric to value.

    Raises:
        DataError: When there is no batch.
    """
    watch = progress or Silent()
    evaluation = Evaluation(tasks, protocol=protocol)
    watch.begin("validating", batches.count)
    try:
        with evaluating(model), torch.no_grad(), own_randomness(0):
            seen = _feed(model, evaluation, batches.iterate(0), engine, watch)
    finally:
        watch.end()
    if not seen:
        raise DataError("there is nothing to evaluate on: the data holds no batch")
    return evaluation.compute()


def _feed(model: nn.Module, evaluation: Evaluation, stream: Iterable[Any], engine: Engine, watch: Progress) -> int:
    forward, plain = engine.wrap(model), unwrap(model)
    names = [task.name for task in evaluation.tasks]
    seen = 0
    for raw in stream:
        batch = relocate(read_batch(raw, names, plain), engine.move, channels_last=engine.channels_last)
        evaluation.update(answers(forward, batch), batch.targets)
        watch.advance()
        seen += 1
    return seen
