"""What every sparse method is made of: settings that say what stays, and a run that holds the masks."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, NamedTuple, Self
from weakref import ref

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.contract import Named, task_names
from niwaki.errors import ContractError
from niwaki.methods.anew import built_anew, require_resettable
from niwaki.methods.base import Method, Run, Stage, checked_steps
from niwaki.methods.sparse.account import Account
from niwaki.methods.sparse.masks import Masks, keeps_zeros
from niwaki.methods.sparse.subject import Subject, read_subject
from niwaki.methods.sparse.target import Target
from niwaki.methods.sparse.together import agree
from niwaki.records import RecordBase
from niwaki.surgery import recompile, unwrap

__all__ = ["Given", "SparseMethod", "SparseRun"]


class Given(NamedTuple):
    """What a run was started with beside the model."""

    steps: int
    tasks: Sequence[Named] | None
    data: Iterable[Any] | None


class SparseMethod(Target, Method):
    """A method that leaves few single weights; in the end they stand in a plain module, among zeros.

    Attributes:
        restart: Whether to start from random weights and not from those given.
        build: Makes the dense network anew, for ``restart``; without it every layer has to have `reset_parameters`. It
            is no plain data, and left out where the settings are written down.
        seed: Seed of everything random.
    """

    stage: ClassVar[Stage] = "sparsify"

    restart: bool = False
    build: Callable[[], nn.Module] | None = Field(None, exclude=True, repr=False)
    seed: int = Field(0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _builds_what_it_restarts(self) -> Self:
        if self.build is not None and not self.restart:
            raise ValueError("build is for restart=True; leave it out, or ask for that")
        return self

    @property
    def restarts(self) -> bool:
        """Whether the weights that it is given are thrown away."""
        return self.restart

    @property
    def forgets(self) -> bool:
        """Whether `start` throws the weights away."""
        return self.restart

    def start(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Copy the model and choose its first masks. See `niwaki.methods.Method.start`.

        Raises:
            BudgetError: When the target leaves less than one weight a layer.
            ContractError: When nothing can be sparse, batches are needed that were not given, or the network can't be
                built anew.
        """
        copy, run = self._prepare(model, example, Given(checked_steps(steps), tasks, data))
        run.begin(unwrap(copy))
        return copy, run

    def resume(
        self,
        model: nn.Module,
        example: Any,
        tasks: Sequence[Named] | None = None,
        *,
        steps: int,
        state: Mapping[str, Any],
        data: Iterable[Any] | None = None,
    ) -> tuple[nn.Module, Run]:
        """Go on with saved masks. See `niwaki.methods.Method.resume`."""
        copy, run = self._prepare(model, example, Given(checked_steps(steps), tasks, data))
        run.load_state_dict(state)
        return copy, run

    def _prepare(self, model: nn.Module, example: Any, given: Given) -> tuple[nn.Module, "SparseRun"]:
        if self.restart:
            require_resettable(model, self.build, asked="restart=True", instead="restart=False")
        copy = built_anew(model, self.build, self.seed) if self.restart else recompile(deepcopy(model), model)
        inner = unwrap(copy)
        run = self.make_run(read_subject(inner, example, self, task_names(given.tasks)), given)
        run.open(inner)
        return copy, run

    @abstractmethod
    def make_run(self, subject: Subject, given: Given) -> "SparseRun":
        """Return a run that has no masks yet."""


class SparseRun(Run):
    """Holds the masks while somebody trains: on gradients before a step, on weights after it, on state as they change.

    A method says by `choose` which masks to go on with, and by `complete` which ones it ends with.

    Attributes:
        method: The settings.
        subject: The layers.
        given: Steps, tasks and data.
        step: Optimizer steps so far.
        masks: The masks; all True until the method chooses.
        counts: Weights that each layer keeps in the end.
        account: Keeps the figures for the record.
        reads_all: Whether this step's gradients of masked weights were looked at.
    """

    def __init__(self, method: SparseMethod, subject: Subject, given: Given) -> None:
        self.method = method
        self.subject = subject
        self.given = given
        self.step = 0
        self.counts: dict[str, int] = {}
        self.account = Account(subject)
        self.reads_all = False
        self._masks = Masks({})
        self._changed: dict[str, Tensor] | None = {}
        self._known: ref[nn.Module] | None = None

    @property
    def masks(self) -> Masks:
        """The masks by name of parameter; True marks a weight that stays."""
        return self._masks

    def open(self, model: nn.Module) -> None:
        """Lay masks that keep everything beside the weights of a model, unwrapped."""
        weights = self.subject.weights(model)
        self._masks = Masks({name: torch.ones_like(each, dtype=torch.bool) for name, each in weights.items()})

    def begin(self, model: nn.Module) -> None:
        """Say how many weights each layer keeps, take the first masks and put them on a model, unwrapped.

        Args:
            model: This run's own copy.
        """
        self.counts = self.method.counts(self.subject.layers, self.subject.magnitudes(model))
        chosen = self.choose(model)
        self._adopt(chosen)
        self._masks.put_on_weights(model)

    @abstractmethod
    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        """Return the masks to go on with after `step` steps, or None to leave them as they are.

        Args:
            model: The model, unwrapped, before the new masks are put on it. Called with step 0 before training.
        """

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:  # noqa: ARG002 - most have nothing to add
        """Return the masks to end with, where they are not those of the last step.

        Args:
            model: The model, unwrapped.
        """
        return None

    def after_backward(self, model: nn.Module) -> None:
        """Zero the gradients of masked weights."""
        self._masks.put_on_gradients(unwrap(model))

    def after_step(self, model: nn.Module, optimizer: Optimizer) -> nn.Module:
        """Count a step, change the masks when it is time, and hold weights and optimizer state to them.

        Args:
            model: The model of this run, which the optimizer has just changed.
            optimizer: Holds its parameters.

        Returns:
            The same model.

        Raises:
            ContractError: When the model is not this run's.
        """
        inner = self._own(model)
        self.account.note_step(inner, optimizer, full_gradient=self.reads_all)
        self.step += 1
        chosen = self.choose(inner)
        if chosen is not None:
            self._adopt(chosen)
        if self._changed is not None:
            self._masks.clear_state(inner, optimizer, self._changed)
        if self._changed is not None or not keeps_zeros(optimizer):
            self._masks.put_on_weights(inner)
        self._changed = None
        return model

    def finish(self, model: nn.Module) -> nn.Module:
        """Return the plain model, with exact zeros where its masks are False.

        Args:
            model: The model of this run.

        Returns:
            The module inside any wrappers, or a copy of it where weights had still to go.

        Raises:
            ContractError: When the model is not this run's.
        """
        inner = self._own(model)
        chosen = self.complete(inner)
        if chosen is not None:
            self._adopt(chosen)
        if not self._masks.hold(inner):
            inner = recompile(deepcopy(inner), inner)
            self._masks.put_on_weights(inner)
        self.account.close(self._masks, inner)
        return inner

    def findings(self) -> Mapping[str, RecordBase]:
        """Return the sparsity that was reached, after `finish`."""
        return {"sparsity": self.account.record(self.method)}

    def state_dict(self) -> dict[str, Any]:
        """Return step, counts, masks and figures."""
        return {
            "step": self.step,
            "counts": self.counts,
            "masks": self._masks.state_dict(),
            "account": self.account.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state.

        Raises:
            ContractError: When its masks are of another model.
        """
        self._masks.load_state_dict(state["masks"])
        self.step = int(state["step"])
        self.counts = {name: int(count) for name, count in state["counts"].items()}
        self.account.load_state_dict(state["account"])

    def _adopt(self, chosen: Mapping[str, Tensor] | None) -> None:
        shared = {} if chosen is None else agree(chosen, self._masks)
        changed = {name: mask ^ self._masks[name] for name, mask in shared.items()}
        self._masks.change(shared)
        self._changed = {**(self._changed or {}), **changed}
        self.account.note_change(self.step, self._masks, changed)

    def _own(self, model: nn.Module) -> nn.Module:
        """Return the module inside any wrappers, and see that it is the one whose masks these are."""
        inner = unwrap(model)
        if self._known is not None and inner is self._known():
            return inner
        shapes = {name: tuple(each.shape) for name, each in inner.named_parameters()}
        odd = next((each for each in self.subject.layers if shapes.get(each.name) != each.shape), None)
        if odd is not None:
            raise ContractError(
                f"this run masks {odd.name!r} of shape {list(odd.shape)}, which the model given does not have; go on "
                "with what the run returns: use `model = run.after_step(model, optimizer)`"
            )
        self._known = ref(inner)
        return inner
