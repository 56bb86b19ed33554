"""The model that becomes sparse, read: its layers, what is never sparse in it and why, and all other work."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from niwaki.errors import ContractError, GraphError
from niwaki.graph import canonical_names, find_parts, node_macs, trace
from niwaki.methods.sparse.by_type import layers_by_type
from niwaki.methods.sparse.layers import Layer, find_layers
from niwaki.methods.sparse.target import Target
from niwaki.modules import kept_parameters

__all__ = ["Subject", "read_subject"]


@dataclass(frozen=True)
class Subject:
    """A model that was read.

    Attributes:
        layers: The weights that can be sparse.
        dense: Every other parameter, with why it is never sparse.
        tasks: Names of the tasks.
        macs: Multiply-accumulates of one forward pass of every example, all parameters dense; 0 where not known.
        notes: Remarks for the record.
    """

    layers: tuple[Layer, ...]
    dense: dict[Layer, str]
    tasks: tuple[str, ...]
    macs: int
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the sparse parameters."""
        return tuple(each.name for each in self.layers)

    @property
    def size(self) -> int:
        """How many weights can be sparse."""
        return sum(each.size for each in self.layers)

    def weights(self, model: nn.Module) -> dict[str, nn.Parameter]:
        """Return the sparse parameters of a model, unwrapped, by name."""
        return {name: model.get_parameter(name) for name in self.names}

    def magnitudes(self, model: nn.Module) -> dict[str, Tensor]:
        """Return what is worth keeping by the size of the weights: ``|W|`` by name."""
        return {name: weight.detach().abs() for name, weight in self.weights(model).items()}


def read_subject(model: nn.Module, example: Any, target: Target, tasks: Sequence[str] | None = None) -> Subject:
    """Find which weights of a model can be sparse.

    They are found in its programs. A model that can't be exported is read by the types of its modules; which tasks use
    a weight, and what work it takes part in, is then not known.

    Args:
        model: The model, unwrapped; it stays as it is.
        example: A tensor, a tuple of positional inputs, a `niwaki.Example`, or a list of these.
        target: What is left dense.
        tasks: Names of the outputs, or None.

    Returns:
        The layers and the rest.

    Raises:
        ContractError: When ``keep`` or ``heads`` names what the model does not have, trunk or heads have densities of
            their own in a model that can't be exported, or nothing is left to be sparse.
    """
    read = _read(model, example, target, tasks)
    kept = {read.names[name] for name in kept_parameters(model, target.keep)}
    reasons = {each: _why_dense(each, read.layers, kept, target) for each in read.parameters}
    dense = {each: why for each, why in reasons.items() if why}
    layers = tuple(each for each in read.parameters if each not in dense)
    _require(layers, dense, target, read.tasks)
    return Subject(layers, dense, read.tasks, read.macs, read.notes)


@dataclass(frozen=True)
class _Read:
    """A model as its programs or its modules show it: all parameters, and those that products read."""

    names: dict[str, str]
    parameters: tuple[Layer, ...]
    layers: dict[str, Layer]
    tasks: tuple[str, ...]
    macs: int = 0
    notes: tuple[str, ...] = ()


def _read(model: nn.Module, example: Any, target: Target, tasks: Sequence[str] | None) -> _Read:
    try:
        traced = trace(model, example, tasks=tasks)
    except GraphError as error:
        return _by_type(model, target, tasks, error)
    found, parts = find_layers(traced), find_parts(traced)
    parameters = tuple(
        found.get(name) or Layer(name, shape, parts.part(parts.of[name]))
        for name, shape in traced.shapes.items()
        if name in traced.parameters
    )
    macs = sum(sum(node_macs(program).values()) for program in traced.eval_programs)
    return _Read(traced.names, parameters, found, traced.tasks, macs)


def _by_type(model: nn.Module, target: Target, tasks: Sequence[str] | None, error: GraphError) -> _Read:
    if target.trunk is not None or target.heads is not None:
        raise ContractError(
            f"trunk and heads can't be told apart, since the model can't be exported: {error}; give density= alone"
        ) from error
    found = layers_by_type(model)
    parameters = tuple(
        found.get(name) or Layer(name, tuple(each.shape), "trunk") for name, each in model.named_parameters()
    )
    note = "the model can't be exported: its layers were found by the types of its modules, and all count as trunk"
    return _Read(canonical_names(model), parameters, found, tuple(tasks or ()), notes=(note,))


def _why_dense(layer: Layer, found: dict[str, Layer], kept: set[str], target: Target) -> str:
    if layer.name in kept:
        return "kept by name"
    if layer.part == "unused":
        return "no output is computed from it"
    if layer.name not in found:
        return "norm or bias" if len(layer.shape) < 2 else "no convolution or matrix product reads it as it is"
    if layer.place == "first" and target.keep_first:
        return "reads the model's input"
    if layer.place == "prediction" and target.keep_predictions:
        return "makes an output"
    return ""


def _require(layers: tuple[Layer, ...], dense: dict[Layer, str], target: Target, tasks: Sequence[str]) -> None:
    if not layers:
        told = "; ".join(f"{each.name}: {why}" for each, why in list(dense.items())[:3])
        raise ContractError(
            f"no weight of the model can be sparse ({told or 'it has no parameters'}); where it is that small, set "
            "keep_first=False or keep_predictions=False"
        )
    for task in target.heads if isinstance(target.heads, dict) else ():
        if task not in tasks:
            raise ContractError(f"heads: {task!r} is no task of the model; its tasks are {', '.join(tasks)}")
    bare = next((each.part for each in layers if target.overall is None and not _has_own(target, each)), None)
    if bare is not None:
        raise ContractError(f"nothing says how dense {bare} is to be; give density=, or trunk= and heads=")


def _has_own(target: Target, layer: Layer) -> bool:
    return (target.heads if layer.in_head else target.trunk) is not None
