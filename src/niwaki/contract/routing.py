"""Routing: models that answer one task per call, told by a parameter ``task`` of their forward.

LibMTL's models call it ``task_name``; they are taken as they are.
"""

import inspect
from typing import Any

from niwaki.contract.example import Example

__all__ = ["answers_all", "is_routed", "route"]

_NAMES = ("task", "task_name")


def is_routed(model: Any) -> bool:
    """Say whether a model takes the task it is to answer: its forward has a parameter ``task``, or ``task_name``.

    Args:
        model: A plain module (see `niwaki.modules.unwrap`), or a function.

    Returns:
        Whether it is called ``model(x, task=name)``.

    Examples:
        >>> is_routed(lambda x, task: x), is_routed(lambda x: x)
        (True, False)
    """
    return _parameter(model) is not None


def answers_all(model: Any) -> bool:
    """Say whether one call without a task answers every task: ``task`` is no parameter, or is None by default.

    Args:
        model: As for `is_routed`.

    Returns:
        Whether ``model(x)`` answers every task.

    Examples:
        >>> answers_all(lambda x, task=None: x), answers_all(lambda x, task=0: x)
        (True, False)
    """
    parameter = _parameter(model)
    return parameter is None or parameter.default is None


def route(model: Any, example: Example, task: str) -> Example:
    """Return the inputs of the call that answers a task.

    Args:
        model: As for `is_routed`.
        example: The inputs; a task that they hold already stays.
        task: Name of the task.

    Returns:
        The inputs with ``task=NAME``, where the model takes one, under the name it has there; else as they were.

    Examples:
        >>> route(lambda x, task: x, Example(1), "depth"), route(lambda x, task: x, Example(1, task=0), "depth")
        (Example(1, task='depth'), Example(1, task=0))
    """
    parameter = _parameter(model)
    if parameter is None or parameter.name in _bound(model, example):
        return example
    return Example(*example.args, **example.kwargs, **{parameter.name: task})


def _parameter(model: Any) -> inspect.Parameter | None:
    parameters = _signature(model).parameters
    return next((parameters[name] for name in _NAMES if name in parameters), None)


def _bound(model: Any, example: Example) -> dict[str, Any]:
    """Return the arguments by parameter; what does not fit at all is left to the call to complain of."""
    try:
        return _signature(model).bind_partial(*example.args, **example.kwargs).arguments
    except TypeError:
        return example.kwargs


def _signature(model: Any) -> inspect.Signature:
    return inspect.signature(getattr(model, "forward", model))
