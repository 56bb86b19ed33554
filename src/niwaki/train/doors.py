"""What comes in at the public functions of this room, looked at before any work."""

from collections.abc import Iterable, Mapping
from typing import Any

from niwaki.balance import Balancer, Equal, as_balancer
from niwaki.errors import ContractError, SettingError, did_you_mean
from niwaki.methods.base import Method
from niwaki.modules import require_module
from niwaki.tasks import Task, build_tasks
from niwaki.train.picker import EpochPicker
from niwaki.train.settings import Training

__all__ = ["check_job", "read_balance", "read_tasks", "require"]

_KINDS: dict[str, tuple[type, str, str]] = {
    "method": (Method, "a Method", "write one such as StructuredPruning(budget={'channels': 0.5})"),
    "balance": (Balancer, "a Balancer", "write one such as Uncertainty()"),
    "training": (Training, "a Training", "write Training(epochs=10) or the like"),
}
"""Argument to its type, the type in words, and what to do."""

_NAMED = {"method": "niwaki.methods.methods", "balance": "niwaki.balance.balancers"}
"""Argument to the registry that knows such things by name."""


def check_job(
    model: Any, tasks: Any, training: Any, *, method: Any = None, balance: Any = None, teacher: Any = None
) -> tuple[Task, ...]:
    """Look at what a training is made of.

    Args:
        model: The model.
        tasks: The tasks.
        training: Settings.
        method: The method, or None.
        balance: The balancer or what stands for one, or None.
        teacher: The teacher, or None.

    Returns:
        The tasks.

    Raises:
        ContractError: When one of them is no such thing, or the whole model is frozen.
        SettingError: When the settings name a task or metric that there is not.

    Examples:
        >>> from torch import nn
        >>> check_job(nn.Linear(1, 1), [{"kind": "depth"}], Training(epochs=1))[0].name
        'depth'
    """
    require_module(model)
    if teacher is not None:
        require_module(teacher)
    require("training", training)
    if method is not None:
        require("method", method)
    read_balance(balance)
    if not any(each.requires_grad for each in model.parameters()):
        raise ContractError(
            "no parameter of the model requires a gradient, and training needs one; call model.requires_grad_(True), "
            "or on the parts that are to be trained"
        )
    chosen = read_tasks(tasks)
    _check_names(training, [task.name for task in chosen])
    EpochPicker(training.select, chosen)
    return chosen


def read_balance(balance: Any) -> Balancer:
    """Return the balancer that was given: as it is, or around an aggregator or scalarizer of TorchJD.

    Args:
        balance: What was given; None stands for the sum of the losses.

    Returns:
        The balancer.

    Raises:
        ContractError: When it is no such thing.

    Examples:
        >>> read_balance(None).describe()["kind"]
        'EW'
    """
    if balance is None:
        return Equal()
    if isinstance(balance, str | type):
        require("balance", balance)
    return as_balancer(balance)


def read_tasks(tasks: Any) -> tuple[Task, ...]:
    """Return the tasks of a list of tasks, of their settings or of plain data.

    Args:
        tasks: What was given.

    Returns:
        At least one task.

    Raises:
        ContractError: When it is no such list, holds something else, or two tasks have one name.
        SettingError: When plain data is no task.
    """
    expected = "expected a list of tasks"
    if isinstance(tasks, Task):
        raise ContractError(f"`tasks` is the task {tasks.name!r}; {expected}; write […] around it")
    if isinstance(tasks, str | Mapping) or not isinstance(tasks, Iterable):
        raise ContractError(f"`tasks` is {_described(tasks)}; {expected}; write one such as [Depth()]")
    given = list(tasks)
    if not given:
        raise ContractError(f"`tasks` is empty; {expected}; write one such as [Depth()]")
    for each in given:
        if isinstance(each, str | type):
            advice = _call(each) if isinstance(each, type) else "Depth(), Segmentation(classes=…) or another Task"
            raise ContractError(f"`tasks` holds {_described(each)}; expected tasks themselves; write {advice}")
    return build_tasks(given)


def require(name: str, given: Any) -> None:
    """Refuse an argument of another type than its own.

    Args:
        name: The argument: ``"method"``, ``"balance"`` or ``"training"``.
        given: Its value.

    Raises:
        ContractError: With what it is, what was expected, and what to write.

    Examples:
        >>> require("balance", "UW")
        Traceback (most recent call last):
        niwaki.errors.ContractError: `balance` is 'UW'; ...; write niwaki.balance.balancers.get('UW')(…)
    """
    kind, words, advice = _KINDS[name]
    if isinstance(given, kind):
        return
    if isinstance(given, type) and issubclass(given, kind):
        advice = f"write {_call(given)}"
    elif isinstance(given, str) and name in _NAMED:
        advice = f"write {_NAMED[name]}.get({given!r})(…)"
    raise ContractError(f"`{name}` is {_described(given)}; expected {words}; {advice}")


def _check_names(training: Training, known: list[str]) -> None:
    distillation = training.distillation()
    for name in distillation.weights if distillation is not None else ():
        if name not in known:
            raise SettingError(
                f"distill names {name!r}, which is no task; the tasks: {', '.join(known)}{did_you_mean(name, known)}"
            )


def _described(given: Any) -> str:
    if isinstance(given, type):
        return f"the class {given.__name__}"
    return repr(given) if isinstance(given, str) else f"of type {type(given).__name__}"


def _call(given: type) -> str:
    return f"{given.__name__}(…)"
