"""One training from its first to its last step: epochs, validation, the journal, checkpoints."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from torch import Tensor

from niwaki.errors import DataError
from niwaki.records import CutRecord
from niwaki.surgery import plans_of
from niwaki.train.calibrate import calibrate
from niwaki.train.checkpoint import tensors_of
from niwaki.train.evaluate import evaluate_batches
from niwaki.train.guard import StepFigures
from niwaki.train.journal import Journal
from niwaki.train.labels import SeenLabels
from niwaki.train.loop import Loop
from niwaki.train.picker import EpochPicker
from niwaki.train.progress import Progress
from niwaki.train.randomness import set_random_state
from niwaki.train.saving import Position, session_state
from niwaki.train.stage import Keeper
from niwaki.train.streams import Batches
from niwaki.train.summary import summary

__all__ = ["Session"]


@dataclass
class Session:
    """Everything of one training; `saving` writes it down and takes it up again.

    Attributes:
        loop: Takes the steps.
        batches: Training data.
        validation: Validation data, or None.
        picker: Picks the best epoch.
        journal: Writes `metrics.jsonl`.
        keeper: Keeps the checkpoint.
        progress: Who watches.
        settings: What a resume has to agree with.
        history: One entry for each validation.
        best: Tensors of the best epoch's model, or None.
        before: Plans that the model remembered when it was given.
        cuts: What each cut since then left.
    """

    loop: Loop
    batches: Batches
    validation: Batches | None
    picker: EpochPicker
    journal: Journal
    keeper: Keeper
    progress: Progress
    settings: dict[str, Any]
    position: Position = field(default_factory=Position)
    history: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] | None = None
    before: int = 0
    cuts: list[CutRecord] = field(default_factory=list)
    _since: float = field(default_factory=time.perf_counter)

    def run(self) -> None:
        """Train until every step is done; a finished training does nothing.

        Raises:
            TrainingError: When a loss or gradient is NaN or infinite, or a task had no label in the first epoch.
            DataError: When an epoch holds no batch.
        """
        if self.position.finished:
            return
        self.progress.begin("training", self.loop.total, self.loop.step)
        try:
            self._keep_cuts(sum(each.numel() for each in self.loop.trainee.model.parameters()))
            while self.loop.step < self.loop.total:
                self._epoch()
            self.position.finished = True
            self.save()
        finally:
            self.journal.flush()
            self.progress.end()

    def seconds(self) -> float:
        """Return the wall time of this training, over all its processes."""
        return self.position.seconds + time.perf_counter() - self._since

    def save(self) -> None:
        """Write a checkpoint, where one is kept."""
        if self.keeper.checkpoint is None:
            return
        self._record(self.loop.drain())
        self.position.seconds, self._since = self.seconds(), time.perf_counter()
        self.keeper.save(session_state(self))

    def _epoch(self) -> None:
        place, loop = self.position, self.loop
        loop.epoch = place.epoch
        stream = self._stream()
        while loop.step < loop.total:
            group = list(islice(stream, loop.training.accumulate))
            if not group:
                break
            self._record(loop.take(group))
            place.batch += len(group)
            if loop.changed:
                self._after_change()
            every = loop.training.checkpoint_every
            if every is not None and loop.step % every == 0 and loop.step < loop.total:
                self.save()
        if place.batch == 0:
            raise DataError("an epoch of the training data holds no batch; give at least one")
        self._check_labels()
        self._end_epoch()

    def _check_labels(self) -> None:
        """Refuse to go on where a task had no label in the first epoch; say so where that happens later."""
        count, loop = self.batches.count, self.loop
        stopped = loop.step >= loop.total and (count is None or self.position.batch < count)
        if self.position.epoch == 0:
            loop.seen.require(loop.tasks, whole=not stopped)
        missing = [task.name for task in loop.tasks if task.name not in loop.seen.tasks]
        if missing and not stopped:
            loop.trainee.notes.append(f"epoch {self.position.epoch} had no label for {', '.join(missing)}")
            self.progress.note(f"{loop.trainee.notes[-1]}: not trained in it")

    def _stream(self) -> Iterator[Any]:
        """Begin an epoch, or go on in the middle of one."""
        place = self.position
        if place.batch == 0:
            self.loop.seen = SeenLabels()
            return self.batches.iterate(place.epoch)
        assert place.begun is not None
        assert place.random is not None
        stream = self.batches.resume(place.begun, place.epoch, place.batch)
        set_random_state(place.random)
        return stream

    def _end_epoch(self) -> None:
        place, loop = self.position, self.loop
        self._record(loop.drain())
        loop.balance.end_epoch()
        last = loop.step >= loop.total
        if last or (place.epoch + 1) % loop.training.eval_every == 0:
            self._validate()
        place.epoch, place.batch = place.epoch + 1, 0
        if not last:
            self.save()

    def _validate(self) -> None:
        if self.validation is None:
            return
        trainee, epoch = self.loop.trainee, self.position.epoch
        quality = evaluate_batches(
            trainee.validated, self.loop.tasks, self.validation, engine=trainee.engine, progress=self.progress
        )
        settled = trainee.run.settled or self.loop.step >= self.loop.total
        better = self.picker.offer(epoch, quality, eligible=settled)
        if better:
            self.best = {name: tensor.clone() for name, tensor in tensors_of(trainee.validated).items()}
        row = {"epoch": epoch, "step": self.loop.step, "quality": quality, "best": better}
        self.history.append(row)
        self.journal.write(kind="epoch", **row)
        told = summary(quality, self.loop.tasks)
        self.progress.note(f"epoch {epoch}: {told}{' (best so far)' if better else ''}")

    def _after_change(self) -> None:
        """Another shape: its statistics are estimated anew, and no earlier epoch can be the best any more."""
        trainee, training = self.loop.trainee, self.loop.training
        self.picker.forget()
        self.best = None
        calibrate(trainee, self.batches, training.batchnorm_batches, self.loop.tasks)
        params = sum(each.numel() for each in trainee.model.parameters())
        self._keep_cuts(params)
        self.journal.write(kind="change", step=self.loop.step, params=params, plans=self.before + len(self.cuts))
        self.progress.note(f"step {self.loop.step}: the model changed its shape; it has {params:,} parameters now")

    def _keep_cuts(self, params: int) -> None:
        """Write down the cuts that were made since the last look, and keep the model that they left."""
        model, step = self.loop.trainee.model, self.loop.step
        new = plans_of(model)[self.before + len(self.cuts) :]
        for place, plan in enumerate(new, start=1):
            number = len(self.cuts) + 1
            file = self.keeper.save_cut(number, model, self.loop.tasks) if place == len(new) else ""
            self.cuts.append(CutRecord(number=number, step=step, params=params, reached=plan.reached, file=file))

    def _record(self, figures: list[StepFigures]) -> None:
        for each in figures:
            row: dict[str, Any] = {"step": each.step, "epoch": each.epoch, "lr": each.lr, "loss": dict(each.losses)}
            if each.extras:
                row["extra"] = dict(each.extras)
            if each is figures[-1]:
                balance = self.loop.balance
                row["weight"] = balance.weights
                if balance.emphasis != row["weight"]:
                    row["emphasis"] = balance.emphasis
            self.journal.write(kind="step", **row, grad_norm=each.grad_norm)
        if figures:
            self.progress.advance(len(figures), loss=sum(figures[-1].losses.values()))
