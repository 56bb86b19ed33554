"""One call of a model as a flat list of named tensors, and the module that takes and gives such lists."""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from niwaki.contract import Example, name_outputs
from niwaki.errors import ContractError

__all__ = ["Call", "FlatCall", "answers", "read_call"]


@dataclass(frozen=True)
class Call:
    """The tensors of one example.

    Attributes:
        example: The example they were read from; its other values are baked into the exported program.
        names: Name of each tensor, from the parameters of ``forward``.
        tensors: The tensors, in the order of the example.
    """

    example: Example
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]

    @property
    def batch(self) -> int:
        """Size of dimension 0 of the first tensor that has one; 0 when none has."""
        return next((int(each.shape[0]) for each in self.tensors if each.ndim), 0)

    @property
    def batched(self) -> tuple[bool, ...]:
        """Whether each tensor has the batch as its dimension 0."""
        return tuple(each.ndim > 0 and each.shape[0] == self.batch for each in self.tensors)

    def with_tensors(self, tensors: Sequence[Tensor]) -> Example:
        """Return the example with other tensors in the places of its own."""
        source = iter(tensors)
        return self.example.map(lambda each: next(source) if isinstance(each, Tensor) else each)


def read_call(model: nn.Module, example: Example) -> Call:
    """Find and name the tensors of an example.

    Args:
        model: The model whose ``forward`` names its inputs.
        example: The inputs of one call.

    Returns:
        The tensors, detached and on the CPU, with names such as ``"x"`` or ``"views.0"``.

    Raises:
        ContractError: When the example does not fit ``forward``.
    """
    found: list[tuple[str, Tensor]] = []
    labels = _positional(model, example)
    for label, value in [*zip(labels, example.args, strict=True), *example.kwargs.items()]:
        found.extend(_named(label, value))
    return Call(example, tuple(name for name, _ in found), tuple(each.detach().cpu() for _, each in found))


def answers(model: nn.Module, example: Example, tasks: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Call a model and name every tensor it returns.

    Args:
        model: The model.
        example: Its inputs.
        tasks: Task names, for a model that returns a tuple or one tensor.

    Returns:
        Output name to tensor; tensors inside a task's answer are named ``"task.0"`` or ``"task.key"``. What is no
        tensor is left out.

    Raises:
        ContractError: When a named task has no answer, or the model returns no tensor.
    """
    named = name_outputs(example.call(model), tasks)
    missing = [name for name in tasks or () if name not in named]
    if missing:
        raise ContractError(f"the model returns nothing for {', '.join(missing)}; its outputs are {', '.join(named)}")
    flat = dict(pair for name, value in named.items() for pair in _named(name, value))
    if not flat:
        raise ContractError("the model returns no tensor, so there is nothing to export")
    return flat


class FlatCall(nn.Module):
    """A model behind a flat list of tensors: the form in which it is exported.

    Args:
        model: The model; it becomes the submodule ``model``.
        call: How its inputs are put together.
        tasks: Task names, as for `answers`.
    """

    def __init__(self, model: nn.Module, call: Call, tasks: Sequence[str] | None = None) -> None:
        super().__init__()
        self.model = model
        self._call = call
        self._tasks = tasks

    def forward(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Return every output tensor, in the order of `answers`."""
        named = answers(self.model, self._call.with_tensors(tensors), self._tasks)
        taken = {id(each) for each in tensors} | {id(each) for each in self.model.parameters()}
        result = []
        for value in named.values():
            # ONNX wants each output to be a value of its own
            result.append(value.clone() if id(value) in taken else value)
            taken.add(id(value))
        return tuple(result)


def _positional(model: nn.Module, example: Example) -> list[str]:
    signature = inspect.signature(model.forward)
    try:
        signature.bind(*example.args, **example.kwargs)
    except TypeError as error:
        raise ContractError(f"the example does not fit {type(model).__name__}.forward: {error}") from None
    labels: list[str] = []
    for name, value in signature.bind_partial(*example.args).arguments.items():
        if signature.parameters[name].kind is inspect.Parameter.VAR_POSITIONAL:
            labels.extend(f"{name}.{i}" for i in range(len(value)))
        else:
            labels.append(name)
    return labels


def _named(name: str, value: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from _named(f"{name}.{key}", each)
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            yield from _named(f"{name}.{i}", each)
