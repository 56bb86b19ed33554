"""Examples: the inputs of one call of a model."""

from collections.abc import Callable, Mapping
from typing import Any

from niwaki.errors import ContractError

__all__ = ["Example", "as_examples", "describe_example"]


class Example:
    """The positional and keyword inputs of one call of a model.

    Args:
        *args: Positional inputs.
        **kwargs: Keyword inputs.

    Examples:
        >>> Example(2, base=10).call(lambda power, base: base**power)
        100
    """

    __slots__ = ("args", "kwargs")

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "kwargs", kwargs)

    def __setattr__(self, name: str, value: object) -> None:
        raise ContractError(f"an Example does not change; make a new one instead of setting {name!r}")

    def __repr__(self) -> str:
        shown = [*map(_brief, self.args), *(f"{key}={_brief(value)}" for key, value in self.kwargs.items())]
        return f"Example({', '.join(shown)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_rebuild, (self.args, self.kwargs))

    def call(self, model: Callable[..., Any]) -> Any:
        """Call a model with these inputs and return what it returns."""
        return model(*self.args, **self.kwargs)

    def map(self, change: Callable[[Any], Any]) -> "Example":
        """Return these inputs with every tensor changed, also those inside tuples, lists and dicts.

        Args:
            change: Called with each tensor, in order.

        Returns:
            A new example; what is no tensor stays, and any mapping becomes a dict.
        """
        args = [_mapped(value, change) for value in self.args]
        kwargs = {key: _mapped(value, change) for key, value in self.kwargs.items()}
        return Example(*args, **kwargs)

    def copied(self) -> "Example":
        """Return these inputs with every tensor copied, for a call that may write into them.

        Examples:
            >>> import numpy as np
            >>> given = Example(np.zeros(1))
            >>> given.copied().args[0] is given.args[0]
            False
        """
        return self.map(lambda tensor: tensor.clone() if hasattr(tensor, "clone") else tensor.copy())

    def tensors(self) -> list[Any]:
        """Return every tensor among the inputs, in order."""
        found: list[Any] = []
        self.map(found.append)
        return found

    @property
    def batch(self) -> int | None:
        """Length of the first tensor's first dimension; None without a tensor that has one."""
        return next((int(each.shape[0]) for each in self.tensors() if len(each.shape) > 0), None)


def as_examples(example: Any) -> list[Example]:
    """Read what a user gives as an example.

    Args:
        example: One tensor; a tuple of positional inputs; an `Example`; or a list of any of these, one for each path
            through the model.

    Returns:
        One `Example` for each path.

    Raises:
        ContractError: When the list is empty or something in it is not an input.

    Examples:
        >>> as_examples([Example(1, task=0), Example(1, task=1)])
        [Example(1, task=0), Example(1, task=1)]
    """
    if isinstance(example, list):
        if not example:
            raise ContractError("the list of examples is empty; give one example for each path through the model")
        return [_as_example(each) for each in example]
    return [_as_example(example)]


def describe_example(example: Example) -> dict[str, Any]:
    """Describe an example as plain data: shapes and types of tensors, other values as they are.

    Args:
        example: The inputs of one call.

    Returns:
        ``{"args": [...], "kwargs": {...}}`` in which a tensor reads ``{"shape": [1, 3, 8, 8], "dtype": "float32"}``
        and any other value ``{"value": ...}``; tuples, lists and dicts of these are ``{"tuple": [...]}`` and so on.

    Raises:
        ContractError: When a value is neither a tensor nor plain data.

    Examples:
        >>> describe_example(Example(task=1))
        {'args': [], 'kwargs': {'task': {'value': 1}}}
    """
    return {
        "args": [_describe(value) for value in example.args],
        "kwargs": {key: _describe(value) for key, value in example.kwargs.items()},
    }


def _rebuild(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Example:
    return Example(*args, **kwargs)


def _as_example(value: Any) -> Example:
    if isinstance(value, Example):
        return value
    if isinstance(value, tuple):
        return Example(*value)
    if _is_tensor(value):
        return Example(value)
    kind = type(value).__name__
    raise ContractError(
        f"an example is a tensor, a tuple of positional inputs, or nw.Example(*args, **kwargs); got {kind}"
    )


def _is_tensor(value: Any) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if _is_tensor(value):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _mapped(each, change) for key, each in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(each, change) for each in value))
    if isinstance(value, tuple | list):
        return type(value)(_mapped(each, change) for each in value)
    return value


def _brief(value: Any) -> str:
    if _is_tensor(value):
        return f"{str(value.dtype).removeprefix('torch.')}{list(value.shape)}"
    return repr(value)


def _describe(value: Any) -> dict[str, Any]:
    if _is_tensor(value):
        return {"shape": [int(size) for size in value.shape], "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, tuple | list):
        return {"tuple" if isinstance(value, tuple) else "list": [_describe(each) for each in value]}
    if isinstance(value, dict):
        return {"dict": {str(key): _describe(each) for key, each in value.items()}}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise ContractError(
        "an example holds tensors and plain values (numbers, text, None, tuples, lists, dicts); "
        f"got {type(value).__name__}"
    )
