"""One batch: what goes into the model, and what its answers are called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from niwaki.contract import Example, as_examples, name_outputs
from niwaki.errors import DataError

__all__ = ["Batch", "Call", "answers", "read_batch", "relocate", "relocate_example"]


@dataclass(frozen=True)
class Call:
    """One call of the model.

    Attributes:
        example: Its inputs.
        tasks: The tasks whose answers are taken from it.
    """

    example: Example
    tasks: tuple[str, ...]


@dataclass(frozen=True)
class Batch:
    """Calls of the model and the targets of their answers.

    Attributes:
        calls: One for each path through the model.
        targets: Task to target; a task without labels is missing.
    """

    calls: tuple[Call, ...]
    targets: dict[str, Any]

    def inputs(self) -> Any:
        """Return the inputs as a user would give them: one tensor where that is all, else `Example`s."""
        examples = [call.example for call in self.calls]
        if len(examples) > 1:
            return examples
        only = examples[0]
        return only.args[0] if len(only.args) == 1 and not only.kwargs else only


def read_batch(batch: Any, tasks: Sequence[str]) -> Batch:
    """Read what a data set or the user's own iterable gave.

    Args:
        batch: ``(x, {task: target})``, where ``x`` is a tensor, a tuple of inputs, an `Example`, or a list of these for
            several paths; ``(x, target)`` for a single task; or ``{task: (x, target)}`` for tasks with own inputs.
        tasks: Names of the tasks.

    Returns:
        The calls and targets.

    Raises:
        DataError: When the batch has another form.

    Examples:
        >>> read_batch((torch.zeros(2, 3), torch.ones(2)), ["depth"]).targets
        {'depth': tensor([1., 1.])}
    """
    if isinstance(batch, Mapping):
        parts = {str(task): _pair(each) for task, each in batch.items()}
        calls = tuple(Call(as_examples(x)[0], (task,)) for task, (x, _) in parts.items())
        targets: dict[str, Any] = {}
        for task, (_, y) in parts.items():
            targets.update(_named(y, [task]))
        return Batch(calls, targets)
    x, y = _pair(batch)
    paths = as_examples(x)
    if len(paths) == 1:
        return Batch((Call(paths[0], tuple(tasks)),), _named(y, tasks))
    if len(paths) != len(tasks):
        raise DataError(
            f"a batch has inputs for {len(paths)} calls but there are {len(tasks)} tasks; give one for each"
        )
    return Batch(tuple(Call(path, (task,)) for path, task in zip(paths, tasks, strict=True)), _named(y, tasks))


def answers(model: Callable[..., Any], batch: Batch) -> dict[str, Any]:
    """Call the model and name what it answers.

    Args:
        model: Anything that can be called with the batch's inputs.
        batch: A batch on the model's device.

    Returns:
        Task to answer; outputs that are no task's are left out, and so are tasks that a call does not answer.

    Raises:
        ContractError: When the outputs can't be named.
    """
    found: dict[str, Any] = {}
    for call in batch.calls:
        named = name_outputs(call.example.call(model), call.tasks)
        found.update({task: named[task] for task in call.tasks if task in named})
    return found


def relocate(batch: Batch, move: Callable[[Any], Any], *, channels_last: bool = False) -> Batch:
    """Bring a batch to a device.

    Args:
        batch: Any batch.
        move: Moves nested tensors, such as ``fabric.to_device``.
        channels_last: Whether 4-D inputs are laid out channels last.

    Returns:
        The batch there.
    """

    def place(call: Call) -> Call:
        return Call(relocate_example(call.example, move, channels_last=channels_last), call.tasks)

    return Batch(tuple(map(place, batch.calls)), move(batch.targets))


def relocate_example(example: Any, move: Callable[[Any], Any], *, channels_last: bool = False) -> Any:
    """Bring the inputs of a call to a device.

    Args:
        example: An `Example`, or a list of them.
        move: Moves nested tensors.
        channels_last: Whether 4-D inputs are laid out channels last.

    Returns:
        The same there.
    """
    if isinstance(example, list):
        return [relocate_example(each, move, channels_last=channels_last) for each in example]

    def lay(value: Any) -> Any:
        if channels_last and isinstance(value, torch.Tensor) and value.dim() == 4:
            return value.to(memory_format=torch.channels_last)
        return value

    args, kwargs = move((example.args, example.kwargs))
    return Example(*args, **kwargs).map(lay)


def _pair(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    raise DataError(f"a batch is (x, {{task: target}}); got {_describe(batch)}")


def _named(y: Any, tasks: Sequence[str]) -> dict[str, Any]:
    if isinstance(y, Mapping):
        return dict(y)
    if len(tasks) != 1:
        raise DataError(f"the targets of {len(tasks)} tasks come as a dict keyed by task; got {_describe(y)}")
    return {tasks[0]: y}


def _describe(value: Any) -> str:
    return f"a {type(value).__name__} of {len(value)}" if isinstance(value, tuple | list) else type(value).__name__
