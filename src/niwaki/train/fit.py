"""`fit`: the optional training loop, with or without a method at work in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import torch
from torch import nn

from niwaki.balance import Balancer
from niwaki.methods.base import Method
from niwaki.modules import device_of
from niwaki.records import CutRecord, Quality, RecordBase
from niwaki.surgery import plans_of
from niwaki.tasks import Task
from niwaki.train.checkpoint import load_tensors, tensors_of
from niwaki.train.doors import check_job, read_balance
from niwaki.train.engine import Engine, backward_for_each_task
from niwaki.train.job import Job
from niwaki.train.journal import Journal
from niwaki.train.labels import require_targets
from niwaki.train.loader import open_batches
from niwaki.train.picker import EpochPicker
from niwaki.train.progress import Progress, Silent
from niwaki.train.randomness import own_randomness
from niwaki.train.saving import load_session
from niwaki.train.session import Session
from niwaki.train.settings import Training
from niwaki.train.stage import Stage, open_stage
from niwaki.train.trainee import shapes

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True)
class Fitted:
    """What a training gave.

    Attributes:
        model: A plain module on the device and in the mode of the model that was given; the best epoch's weights.
        quality: Validation of the picked epoch; empty without validation data.
        epoch: The picked epoch, or None without validation data.
        picked_by: The rule that picked it, in words.
        history: Each validation: ``epoch``, ``step``, ``quality``, ``best``.
        steps: Optimizer steps that were taken.
        seconds: Wall time of the training, over all its processes.
        precision: The precision it was trained in.
        cuts: What each cut in the course of the training left.
        findings: What the method found and reached, by the field of `Record` it fills.
        notes: What a reader should know.
    """

    model: nn.Module
    quality: Quality
    epoch: int | None
    picked_by: str
    history: tuple[dict[str, Any], ...]
    steps: int
    seconds: float
    precision: str
    cuts: tuple[CutRecord, ...] = ()
    findings: Mapping[str, RecordBase] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def fit(  # noqa: PLR0913 - the parts of a training are independent, and each has a name
    model: nn.Module,
    tasks: Sequence[Task],
    train_data: Any,
    val_data: Any = None,
    *,
    training: Training,
    method: Method | None = None,
    balance: Balancer | nn.Module | None = None,
    teacher: nn.Module | None = None,
    reference: Quality | None = None,
    out: Stage | str | PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
) -> Fitted:
    """Train a copy of a model, with a method at work in the loop when one is given.

    A model in evaluation mode is trained in training mode all the same; in one that is in training mode, modules that
    are not, such as frozen norms, stay as they are.

    Everything random in it starts from ``training.seed``; the caller's generators and model stay as they are. Killed
    and called again with ``resume=True``, it goes on from its last checkpoint and ends with the same bits: on the same
    machine and versions, with operators that repeat themselves (on CUDA some do only under
    `torch.use_deterministic_algorithms`).

    Args:
        model: The model to start from, trained or not.
        tasks: The tasks.
        train_data: A map-style data set of samples ``(x, {task: target})``, an iterable of batches of them, or a dict
            of either by task. A sample or batch may lack a task, or hold None for it. A model whose forward has a
            parameter ``task`` is called ``model(x, task=NAME)``.
        val_data: The same, to pick the epoch by; None keeps the last.
        training: Length, optimizer, precision and the rest.
        method: What to do to the model meanwhile.
        balance: Makes one scalar of the losses: a balancer, which is used as it is, with what it has learned, or an
            aggregator or scalarizer of TorchJD. Their sum when None.
        teacher: Whose answers ``training.distill`` refers to; by default the model as it was given.
        reference: Quality that the rules ``"mean"`` and ``"worst"`` compare with; by default the first validation.
        out: A directory, or a run directory's stage, for checkpoint and metrics; None keeps nothing.
        resume: Whether to go on from the checkpoint in ``out``; without one the training starts at the beginning. The
            model has to be the same one again where a method or a teacher looks at it as it was given.
        progress: Who watches.

    Returns:
        The trained model and how it went.

    Raises:
        SettingError: When the device, the rule or a task that the settings name does not exist.
        ContractError: When an argument is no such thing, the whole model is frozen, two tasks have one name, or model
            and data don't fit the tasks.
        DataError: When the data is empty or not as described, its length is needed and not known, or the validation
            data has no targets for a task.
        TrainingError: When a loss or gradient becomes NaN or infinite, a task had no label in the first epoch, or other
            settings, or another model, are resumed.
        FileError: When a checkpoint is damaged or does not fit.

    Examples:
        >>> from niwaki.tasks import Depth
        >>> net = nn.Conv2d(1, 1, 1)
        >>> batch = (torch.ones(2, 1, 4, 4), {"depth": torch.full((2, 1, 4, 4), 2.0)})
        >>> fitted = fit(net, [Depth()], [batch], [batch], training=Training(steps=3, lr=0.1))
        >>> fitted.steps, len(fitted.history), fitted.model is net
        (3, 3, False)
    """
    chosen = check_job(model, tasks, training, method=method, balance=balance, teacher=teacher)
    with own_randomness(training.seed), backward_for_each_task(training):
        engine = Engine.of(training)
        keep = training.batchnorm_batches if method is not None else 0
        batches = open_batches(train_data, training, chosen, shuffle=True, keep=keep, pin=engine.pins)
        job = Job(model, chosen, training, method, batches, engine, teacher)
        keeper = open_stage(out)
        saved = job.checkpoint(keeper) if resume else None
        validation = None
        if val_data is not None:
            validation = open_batches(val_data, training, chosen, shuffle=False, pin=engine.pins)
        if validation is not None and saved is None:
            require_targets(validation, chosen)
        loop = job.loop(saved, balance=read_balance(balance))
        session = Session(
            loop,
            job.batches,
            validation,
            EpochPicker(training.select, job.tasks, reference),
            Journal(keeper.metrics, keeper.name),
            keeper,
            progress or Silent(),
            job.settings(),
            before=len(plans_of(model)),
        )
        if saved is not None:
            load_session(session, saved)
        else:
            session.journal.restart()
        session.run()
        return _finish(session, model)


def _finish(session: Session, given: nn.Module) -> Fitted:
    """Take the picked epoch's weights and make a plain module of them, like the one that was given."""
    trainee, picker, notes = session.loop.trainee, session.picker, list(session.loop.trainee.notes)
    validated = session.validation is not None
    if session.best is not None:
        load_tensors(trainee.model, session.best)
    elif trainee.average is not None:
        load_tensors(trainee.model, tensors_of(trainee.average.model))
    model = trainee.run.finish(trainee.model)
    if shapes(model) != shapes(trainee.model):
        notes.append("the method changed the model's shape at the end; validations were taken before")
    model.zero_grad(set_to_none=True)
    if session.loop.training.channels_last:
        model.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]  # torch's stub lacks it
    return Fitted(
        model=model.to(device_of(given)).train(given.training),
        quality=picker.quality,
        epoch=picker.epoch,
        picked_by=picker.describe() if validated else "last epoch, without validation data",
        history=tuple(session.history),
        steps=session.loop.step,
        seconds=session.seconds(),
        precision=trainee.engine.precision,
        cuts=tuple(session.cuts),
        findings=trainee.run.findings(),
        notes=tuple(notes),
    )
