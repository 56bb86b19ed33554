"""One batch: what goes into the model, and what its answers are called."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from niwaki.contract.example import Example, as_examples
from niwaki.contract.outputs import name_outputs
from niwaki.contract.routing import answers_all, is_routed, route
from niwaki.errors import DataError

__all__ = ["Batch", "Call", "answers", "read_batch"]


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

    def given(self) -> Any:
        """Return the batch as `read_batch` takes it: ``(x, targets)``, or ``{task: (x, target)}`` for several calls."""
        if len(self.calls) == 1:
            return self.inputs(), self.targets
        own = {call.tasks[0]: call.example for call in self.calls}
        return {task: (x, {task: self.targets[task]} if task in self.targets else {}) for task, x in own.items()}

    def inputs(self) -> Any:
        """Return the inputs as a user would give them: one tensor where that is all, else `Example`s."""
        examples = [call.example for call in self.calls]
        if len(examples) != 1:
            return examples
        only = examples[0]
        return only.args[0] if len(only.args) == 1 and not only.kwargs else only


def read_batch(batch: Any, tasks: Sequence[str], model: Any = None) -> Batch:
    """Read what a data set or the user's own iterable gave.

    A routed model (see `niwaki.contract.is_routed`) is called with ``task=NAME`` where the inputs don't say another
    task themselves: once for each task that the batch has targets for; where it has them for all, and one call without
    a task answers all, once. Of data by task only a task's own target is taken, and what belongs to no task is left.

    Args:
        batch: ``(x, {task: target})``, where ``x`` is a tensor, a tuple of inputs, an `Example`, or a list of these for
            several paths; ``(x, target)`` for a single task; or ``{task: (x, target)}`` for tasks with own inputs.
        tasks: Names of the tasks.
        model: The plain model that will be called, or None for one that is not routed.

    Returns:
        The calls and targets.

    Raises:
        DataError: When the batch has another form.

    Examples:
        >>> read_batch({"far": (Example(1), 7)}, ["near", "far"], lambda x, task: x)
        Batch(calls=(Call(example=Example(1, task='far'), tasks=('far',)),), targets={'far': 7})
    """
    if isinstance(batch, Mapping):
        return _read_by_task(batch, tasks, model)
    x, y = _pair(batch)
    paths, targets = as_examples(x), _named(y, tasks)
    if len(paths) > 1 and len(paths) != len(tasks):
        raise DataError(
            f"a batch has inputs for {len(paths)} calls but there are {len(tasks)} tasks; give one for each"
        )
    if len(paths) == 1:
        own = [task for task in tasks if targets.get(task) is not None]
        if model is None or not is_routed(model) or (len(own) == len(tasks) and answers_all(model)):
            return Batch((Call(paths[0], tuple(tasks)),), targets)
        return Batch(tuple(_call(model, paths[0], task) for task in own), targets)
    return Batch(tuple(_call(model, path, task) for path, task in zip(paths, tasks, strict=True)), targets)


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


def _read_by_task(batch: Mapping[str, Any], tasks: Sequence[str], model: Any) -> Batch:
    pairs = {task: _pair(batch[task]) for task in tasks if task in batch}
    if not pairs:
        raise DataError(
            f"a batch by task holds {', '.join(map(str, batch)) or 'nothing'}; expected (x, target) under the name of "
            f"at least one task: {', '.join(tasks)}"
        )
    several = next((task for task, (x, _) in pairs.items() if len(as_examples(x)) > 1), None)
    if several is not None:
        raise DataError(
            f"a batch by task holds several inputs for {several}; give one: a tensor, a tuple or an Example"
        )
    calls = tuple(_call(model, as_examples(x)[0], task) for task, (x, _) in pairs.items())
    named = {task: _named(y, [task]) for task, (_, y) in pairs.items()}
    return Batch(calls, {task: each[task] for task, each in named.items() if task in each})


def _call(model: Any, example: Example, task: str) -> Call:
    return Call(example if model is None else route(model, example, task), (task,))


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
