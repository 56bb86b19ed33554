"""What a training is made of: settings in, a loop that is ready for its next step out."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from niwaki.balance import Balancer
from niwaki.contract import answers_all, is_routed
from niwaki.errors import ContractError, DataError
from niwaki.methods.base import Method, Run
from niwaki.modules import unwrap
from niwaki.surgery import plans_of
from niwaki.tasks import Task
from niwaki.train.batch import relocate_example
from niwaki.train.calibrate import calibrate
from niwaki.train.checkpoint import fingerprint, require_same
from niwaki.train.distill import Teacher
from niwaki.train.engine import Engine
from niwaki.train.guard import Guard
from niwaki.train.loop import Loop
from niwaki.train.samples import TrainData, first_example
from niwaki.train.saving import check_version
from niwaki.train.settings import Training
from niwaki.train.stage import Keeper
from niwaki.train.streams import Batches
from niwaki.train.trainee import Trainee

__all__ = ["Job"]

_MAY_DIFFER = {"num_workers", "checkpoint_every"}
"""Settings that change no bit of the result, and so may differ when a run is resumed."""

_DEVICE_STEPS = 10
"""Steps whose figures lie on an accelerator before they are brought over: each transfer waits for the device."""


@dataclass(frozen=True)
class Job:
    """One training, before it runs.

    Attributes:
        model: The model as it was given; it is never changed.
        tasks: The tasks.
        training: Settings.
        method: What is done to the model meanwhile, or None.
        batches: Training data.
        engine: Device and precision.
        teacher: Whose answers are targets too, where they are, or None for the model as it was given.
    """

    model: nn.Module
    tasks: tuple[Task, ...]
    training: Training
    method: Method | None
    batches: Batches
    engine: Engine
    teacher: nn.Module | None = None

    @cached_property
    def total(self) -> int:
        """Optimizer steps of the whole training.

        Raises:
            DataError: When the length is given in epochs and the data has no length.
        """
        if self.training.steps is not None:
            return self.training.steps
        if self.batches.count is None:
            raise DataError("the training data has no length, so its epochs can't be counted; give steps= instead")
        return self.training.total_steps(-(-self.batches.count // self.training.accumulate))

    @cached_property
    def origin(self) -> dict[str, Any]:
        """The models this training begins from, as `fingerprint`s.

        Weights that a checkpoint holds anyway need not come again: those of a model that is neither measured nor cut
        nor a teacher.
        """
        taught = self.training.distillation() is not None
        other = self.teacher if taught else None
        given = self.method is not None or (taught and other is None)
        return {
            "model": fingerprint(self.model, weights=given),
            "teacher": None if other is None else fingerprint(other, weights=True),
        }

    def settings(self) -> dict[str, Any]:
        """Return what a resume has to agree with, as plain data."""
        return {
            "training": self.training.model_dump(mode="json", exclude=_MAY_DIFFER),
            "method": self.method.model_dump(mode="json") if self.method is not None else None,
            "tasks": [task.name for task in self.tasks],
            "steps": self.total,
            "precision": self.engine.precision,
            "device": self.engine.device.type,
            **self.origin,
        }

    def checkpoint(self, keeper: Keeper) -> dict[str, Any] | None:
        """Read the checkpoint of this training, or None where there is none.

        Args:
            keeper: Where it is kept.

        Returns:
            The saved state.

        Raises:
            FileError: When it is damaged or newer than this Niwaki.
            TrainingError: When it was made with other settings.
        """
        saved = keeper.load()
        if saved is not None:
            check_version(saved)
            require_same(self.settings(), saved["settings"])
        return saved

    def loop(self, saved: dict[str, Any] | None, *, balance: Balancer) -> Loop:
        """Make the loop: start the method, or resume it into the structure a checkpoint has.

        Args:
            saved: The checkpoint, or None.
            balance: The balancer.

        Returns:
            The loop before its first step.
        """
        model, run = self._begin(saved)
        trainee = Trainee(model, run, self.engine, self.training)
        if saved is None and len(plans_of(model)) > len(plans_of(self.model)):
            calibrate(trainee, self.batches, self.training.batchnorm_batches, self.tasks)
        return Loop(
            trainee,
            self.tasks,
            balance,
            self._teacher(),
            self.training,
            self.total,
            guard=Guard(every=_every(self.engine.device.type)),
        )

    def _begin(self, saved: dict[str, Any] | None) -> tuple[nn.Module, Run]:
        model = deepcopy(self.model)
        if not model.training:
            model.train()
        if self.method is None:
            return model, Run()
        plain = unwrap(self.model)
        example = relocate_example(first_example(self.batches, self.tasks, plain), self.engine.move)
        data = TrainData(plain, self.tasks, self.batches, self.engine)
        model = self.engine.place(model)  # where its example is, also when it is cut later
        if saved is None:
            return self.method.start(model, example, self.tasks, steps=self.total, data=data)
        return self.method.resume(model, example, self.tasks, steps=self.total, state=saved["run"], data=data)

    def _teacher(self) -> Teacher | None:
        distillation = self.training.distillation()
        if distillation is None:
            return None
        model = self.teacher if self.teacher is not None else self.model
        student, plain = unwrap(self.model), unwrap(model)
        if not is_routed(student) and not answers_all(plain):
            raise ContractError(
                "the teacher answers one task per call, but the model that learns all at once; give a teacher that "
                "answers all tasks without `task`, such as nw.TaskNets({task: network})"
            )
        forward = self.engine.wrap(deepcopy(model).eval().requires_grad_(requires_grad=False))
        return Teacher(forward if is_routed(plain) else _without_task(forward), distillation)


def _without_task(forward: Callable[..., Any]) -> Callable[..., Any]:
    """Let a model that is not routed be called as one that is."""

    def call(*inputs: Any, task: Any = None, task_name: Any = None, **more: Any) -> Any:  # noqa: ARG001 - left out
        return forward(*inputs, **more)

    return call


def _every(kind: str) -> int:
    """Return how many steps' figures are brought over at once; on a CPU they are there already."""
    return 1 if kind == "cpu" else _DEVICE_STEPS
