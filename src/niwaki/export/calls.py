"""One call of a model as a flat list of named tensors, and the module that takes and gives such lists."""

import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn

from niwaki.contract import Example, name_path_outputs
from niwaki.errors import ContractError

__all__ = ["BATCH", "Call", "FlatCall", "answered", "answers", "read_call"]

BATCH = "batch"
"""What a dynamic first dimension is called in a file."""


@dataclass(frozen=True)
class Call:
    """The tensors of one example, or of several paths together.

    Attributes:
        examples: What they were read from; other values in it are baked into the exported program.
        names: Name of each tensor, from the parameters of ``forward``.
        tensors: The tensors; one that several paths hold is here once.
        places: For each place of a tensor in the examples, in order, which of the tensors it is.
        axes: Name of each tensor's batch dimension, which is dimension 0; empty where it has none.
    """

    examples: tuple[Example, ...]
    names: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    places: tuple[int, ...]
    axes: tuple[str, ...]

    @property
    def batch(self) -> int:
        """Size of dimension 0 of the first tensor that has one; 0 when none has."""
        return next((int(each.shape[0]) for each in self.tensors if each.ndim), 0)

    def with_tensors(self, tensors: Sequence[Tensor]) -> tuple[Example, ...]:
        """Return the examples with other tensors in the places of their own."""
        source = iter(self.places)

        def replaced(each: Any) -> Any:
            return tensors[next(source)] if isinstance(each, Tensor) else each

        return tuple(example.map(replaced) for example in self.examples)


def read_call(model: nn.Module, *examples: Example, labels: Sequence[str] = ()) -> Call:
    """Find and name the tensors of examples.

    Args:
        model: The model whose ``forward`` names its inputs.
        *examples: The inputs of one call, or of one call for each path.
        labels: What each path is called, where there are several.

    Returns:
        The tensors, detached and on the CPU, with names such as ``"x"`` or ``"views.0"``; those of several paths are
        ``"LABEL.x"``, but where every path holds the same tensors, they are named as one path's are.

    Raises:
        ContractError: When an example does not fit ``forward``.
    """
    paths = [_tensors(model, example) for example in examples]
    alike = all([each.key for each in path] == [each.key for each in paths[0]] for path in paths)
    prefixes = [""] * len(paths) if alike else [f"{label}." for label in labels]
    found: dict[tuple[int, int], tuple[str, Tensor, str]] = {}
    for prefix, path in zip(prefixes, paths, strict=True):
        size = next((each.tensor.shape[0] for each in path if each.tensor.ndim), None)
        axis = re.sub(r"\W", "_", f"{BATCH}_{prefix[:-1]}") if prefix else BATCH
        for each in path:
            batched = each.tensor.ndim > 0 and each.tensor.shape[0] == size
            found.setdefault(each.key, (prefix + each.name, each.tensor, axis if batched else ""))
    order = list(found)
    return Call(
        examples=examples,
        names=tuple(name for name, _, _ in found.values()),
        tensors=tuple(tensor.detach().cpu() for _, tensor, _ in found.values()),
        places=tuple(order.index(each.key) for path in paths for each in path),
        axes=tuple(axis for _, _, axis in found.values()),
    )


def answers(
    model: nn.Module, examples: Example | Sequence[Example], tasks: Sequence[str] | None = None
) -> dict[str, Tensor]:
    """Call a model and name every tensor it returns.

    Args:
        model: The model.
        examples: Its inputs; one for each path.
        tasks: Task names, for a model that returns a tuple or one tensor. When each of several paths returns one
            tensor, path i answers task i.

    Returns:
        Output name to tensor; tensors inside a task's answer are named ``"task.0"`` or ``"task.key"``. What is no
        tensor is left out.

    Raises:
        ContractError: When a named task has no answer, two paths answer one task, or the model returns no tensor.
    """
    paths = [examples] if isinstance(examples, Example) else list(examples)
    named: dict[str, Any] = {}
    for index, example in enumerate(paths):
        found = name_path_outputs(example.call(model), tasks, index, len(paths))
        twice = next((name for name in found if name in named), None)
        if twice is not None:
            raise ContractError(f"two examples answer {twice!r}; give one for each task")
        named.update(found)
    missing = [name for name in tasks or () if name not in named]
    if missing:
        raise ContractError(f"the model returns nothing for {', '.join(missing)}; its outputs are {', '.join(named)}")
    flat = dict(pair for name, value in named.items() for pair in _named(name, value))
    if not flat:
        raise ContractError("the model returns no tensor, so there is nothing to export")
    return flat


def answered(model: nn.Module, examples: Sequence[Example], tasks: Sequence[str] | None = None) -> list[list[str]]:
    """Return which tasks each of several paths answers.

    Args:
        model: The model, in evaluation mode.
        examples: One for each path.
        tasks: As for `answers`.

    Returns:
        The names of each path's outputs, of those that are tasks where there are tasks.

    Raises:
        ContractError: When the outputs can't be named.
    """
    found = [list(name_path_outputs(each.call(model), tasks, i, len(examples))) for i, each in enumerate(examples)]
    return [[name for name in names if tasks is None or name in tasks] for names in found]


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
        self.tasks = tasks
        self._call = call

    def forward(self, tensors: list[Tensor]) -> tuple[Tensor, ...]:
        """Return every output tensor, in the order of `answers`."""
        named = answers(self.model, self._call.with_tensors(tensors), self.tasks)
        taken = {id(each) for each in tensors} | {id(each) for each in self.model.parameters()}
        result = []
        for value in named.values():
            # ONNX wants each output to be a value of its own
            result.append(value.clone() if id(value) in taken else value)
            taken.add(id(value))
        return tuple(result)


class _Place(NamedTuple):
    """A tensor in an example; its key is the same in another path that holds the tensor."""

    name: str
    tensor: Tensor
    key: tuple[int, int]


def _tensors(model: nn.Module, example: Example) -> list[_Place]:
    labels = _positional(model, example)
    given = [*zip(labels, example.args, strict=True), *example.kwargs.items()]
    pairs = [pair for label, value in given for pair in _named(label, value)]
    ids = [id(each) for _, each in pairs]
    return [_Place(name, each, (ids[i], ids[:i].count(ids[i]))) for i, (name, each) in enumerate(pairs)]


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
