"""The model that becomes sparse, read: its layers, what is never sparse in it and why, and all other work."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from niwaki.errors import ContractError
from niwaki.graph import Traced, find_parts, node_macs, trace
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
        macs: Multiply-accumulates of one forward pass of every example, all parameters dense.
    """

    layers: tuple[Layer, ...]
    dense: dict[Layer, str]
    tasks: tuple[str, ...]
    macs: int

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

    Args:
        model: The model, unwrapped; it stays as it is.
        example: A tensor, a tuple of positional inputs, a `niwaki.Example`, or a list of these.
        target: What is left dense.
        tasks: Names of the outputs, or None.

    Returns:
        The layers and the rest.

    Raises:
        ContractError: When ``keep`` or ``heads`` names what the model does not have, or nothing is left to be sparse.
    """
    traced = trace(model, example, tasks=tasks)
    found = find_layers(traced)
    kept = {traced.names[name] for name in kept_parameters(model, target.keep)}
    dense: dict[Layer, str] = {}
    for each in _parameters(traced, found):
        why = _why_dense(each, found, kept, target)
        if why:
            dense[each] = why
    layers = tuple(each for each in found.values() if each not in dense)
    _require(layers, dense, target, traced.tasks)
    return Subject(layers, dense, traced.tasks, _macs(traced))


def _parameters(traced: Traced, found: dict[str, Layer]) -> Iterable[Layer]:
    parts = find_parts(traced)
    for name in (name for name in traced.shapes if name in traced.parameters):
        yield found.get(name) or Layer(name, traced.shapes[name], parts.part(parts.of[name]))


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


def _macs(traced: Traced) -> int:
    return sum(sum(node_macs(program).values()) for program in traced.eval_programs)
