"""The one door to TorchJD: no other file knows how its aggregators and scalarizers are called."""

import copy
import inspect
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal

import torch
from torch import Tensor, nn

from niwaki.balance.torchjd_state import read_state, write_state
from niwaki.errors import ContractError, MissingExtraError, Problem, SettingError, TrainingError, did_you_mean

__all__ = ["Members", "Room", "room_of"]

Room = Literal["aggregation", "scalarization"]
Tasks = tuple[str, ...]

_BASES: dict[Room, str] = {"aggregation": "Aggregator", "scalarization": "Scalarizer"}
_COUNTS = ("n_tasks", "shape")
"""Options of some classes that are the number of tasks."""


class Members:
    """One TorchJD object for each set of tasks that comes together in a batch.

    Theirs know a number of tasks, and their options and states have an entry for each; ours know names, and a batch may
    lack a task. All are made alike, one at once, so that a missing package is told when the balancer is made.

    Args:
        room: Where the class stands in TorchJD.
        method: Name of the class, or an object, which is copied.
        options: Options of the class. One with a value for each task is a dict by task; a list becomes a tensor.

    Attributes:
        name: Name of the class.
        updates: Whether the objects ask for the losses after the step.

    Raises:
        SettingError: When there is no such class, or it refuses an option.
        MissingExtraError: When TorchJD, or the solver that the class needs, is not installed.

    Examples:
        >>> mean = Members("aggregation", "Constant", {"weights": {"a": 2.0, "b": 1.0}})
        >>> mean.aggregate(("b", "a"), torch.eye(2))
        (tensor([1., 2.]), tensor([1., 2.]))
    """

    def __init__(self, room: Room, method: Any, options: Mapping[str, Any]) -> None:
        self._found: dict[Tasks, Any] = {}
        self._saved: dict[Tasks, dict[str, Any]] = {}
        self._room = room
        self.options = dict(options)
        if isinstance(method, str):
            self.name = method
            cls = _class(room, method)
            self._make: Callable[[Tasks, Tensor], nn.Module] = lambda *args: _made(cls, self.options, *args)
            named = next((tuple(each) for each in self.options.values() if isinstance(each, Mapping)), ("", ""))
            self.updates = hasattr(self._make(named, torch.zeros(())), "update")
        else:
            self.name = type(method).__name__
            self.updates = hasattr(method, "update")
            pristine = copy.deepcopy(method)
            self._make = lambda *_: copy.deepcopy(pristine)
            self.options |= _readable(method)

    def of(self, tasks: Tasks, like: Tensor) -> Any:
        """Return the object for a set of tasks; its options are tensors of the type and device of another."""
        if tasks not in self._found:
            self._found[tasks] = self._make(tasks, like)
            write_state(self._found[tasks], self._saved.pop(tasks, {}))
        return self._found[tasks]

    def aggregate(self, tasks: Tasks, matrix: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the aggregate of gradients `[tasks, entries]`, and the weights where the aggregator has such."""
        aggregator = self.of(tasks, matrix)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # cvxpy's on how Nash-MTL's problem is posed
                if not isinstance(aggregator, _attribute(self._room, "WeightedAggregator")):
                    return aggregator(matrix), None
                weights = aggregator.weighting(matrix)
        except Exception as error:  # solvers' errors have no common root
            if bool(matrix.isfinite().all()):
                raise self._failed(tasks, error) from error
            weights = matrix.new_ones(len(matrix))  # the NaN goes on to whoever looks for it
        return weights @ matrix, weights

    def scalarize(self, tasks: Tasks, values: Tensor) -> tuple[Tensor, Tensor, dict[nn.Parameter, Tensor]]:
        """Return the scalar of losses `[tasks]`, its slopes along them, and those along the object's parameters."""
        scalarizer = self.of(tasks, values).to(values.device)
        learned = [] if hasattr(scalarizer, "update") else list(scalarizer.parameters())
        leaf = values.detach().requires_grad_()
        try:
            value = scalarizer(leaf)
        except ValueError as error:
            raise self._failed(tasks, error) from error
        slopes = torch.autograd.grad(value, [leaf, *learned])
        return value.detach(), slopes[0], dict(zip(learned, slopes[1:], strict=True))

    def update(self, losses: Mapping[str, Tensor]) -> None:
        """Give the losses after the step to an object that asks for them."""
        scalarizer = self._found.get(tuple(losses))
        if scalarizer is not None and hasattr(scalarizer, "update"):
            scalarizer.update(torch.stack([loss.detach().reshape(()) for loss in losses.values()]))

    def end_epoch(self) -> None:
        """Tell the objects that count epochs that one has ended."""
        steps: list[Any] = [getattr(each, "step", None) for each in self._found.values()]
        for step in steps:
            if callable(step):
                step()

    def clear(self) -> None:
        """Forget every object."""
        self._found, self._saved = {}, {}

    def state(self) -> list[dict[str, Any]]:
        """Return what the objects have learned."""
        states = self._saved | {tasks: read_state(each) for tasks, each in self._found.items()}
        return [{"tasks": list(tasks), "state": each} for tasks, each in states.items()]

    def load(self, states: list[dict[str, Any]]) -> None:
        """Take over what others have learned; the objects are made when their tasks come."""
        self.clear()
        self._saved = {tuple(each["tasks"]): each["state"] for each in states}

    def _failed(self, tasks: Tasks, error: Exception) -> TrainingError:
        return TrainingError(
            f"TorchJD's {self.name} failed on the tasks {', '.join(tasks)}: {error}; if that is not a matter of its "
            "options, balance with another one, such as PCGrad"
        )


def room_of(given: object) -> Room | None:
    """Return the room of TorchJD that an object comes from; None for anything else.

    Args:
        given: Any object. TorchJD is not imported for it.

    Examples:
        >>> room_of(nn.Linear(1, 1)) is None
        True
    """
    if not any(each.__module__.partition(".")[0] == "torchjd" for each in type(given).__mro__):
        return None
    return next((room for room, base in _BASES.items() if isinstance(given, _attribute(room, base))), None)


def _attribute(room: Room, name: str) -> Any:
    return getattr(import_module(f"torchjd.{room}"), name)


def _class(room: Room, name: str) -> type[nn.Module]:
    try:
        module, base = import_module(f"torchjd.{room}"), _attribute(room, _BASES[room])
    except ImportError:
        raise MissingExtraError("balance", f"the balancer {name}") from None
    known = [each for each, cls in vars(module).items() if inspect.isclass(cls) and issubclass(cls, base)]
    known = [each for each in known if not inspect.isabstract(vars(module)[each]) and "Weighted" not in each]
    if name not in known:
        message = f"TorchJD has no {base.__name__.lower()} {name!r}{did_you_mean(name, known)}"
        message += f" (known: {', '.join(known)})"
        raise SettingError(message, (Problem(("method",), message, name),))
    found: type[nn.Module] = getattr(module, name)
    return found


def _made(cls: type[nn.Module], options: Mapping[str, Any], tasks: Tasks, like: Tensor) -> nn.Module:
    allowed = inspect.signature(cls).parameters
    given = {name: _tensor(name, value, tasks, like) for name, value in options.items()}
    counts = {name: len(tasks) for name in _COUNTS if name in allowed and name not in given}
    try:
        return cls(**counts, **given)
    except ImportError:
        raise MissingExtraError("balance", f"the balancer {cls.__name__}") from None
    except (TypeError, ValueError) as error:
        names = ", ".join(each for each in allowed if each not in _COUNTS) or "none"
        raise SettingError(f"{cls.__name__}: {error} (options: {names})") from error


def _tensor(name: str, value: Any, tasks: Tasks, like: Tensor) -> Any:
    """Return an option as TorchJD wants it: values by task become a vector in the order of the tasks."""
    if isinstance(value, Mapping):
        absent = [task for task in tasks if task not in value]
        if absent:
            raise ContractError(f"the option {name!r} has no value for the task {absent[0]!r}; add one")
        return like.new_tensor([float(value[task]) for task in tasks])
    return like.new_tensor(value) if isinstance(value, list) else value


def _readable(method: object) -> dict[str, Any]:
    """Return an object's options as plain data, as far as it shows them."""
    found = {name: getattr(method, name, None) for name in inspect.signature(type(method)).parameters}
    plain = {name: each.tolist() if isinstance(each, Tensor) else each for name, each in found.items()}
    return {name: each for name, each in plain.items() if isinstance(each, bool | int | float | str | list)}
