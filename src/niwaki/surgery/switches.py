"""What a program has baked in and its owner may change: train mode of norms and dropouts, momenta, the device."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn.modules.batchnorm import _NormBase

from niwaki.graph import Program, module_of, operator_name
from niwaki.modules import device_of

__all__ = ["Switch", "switches"]

_FLAGS = {
    "batch_norm": ("training", 5),
    **dict.fromkeys(("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), ("train", 2)),
}
"""Operator to the name and place of its argument that follows the mode of the module it belongs to."""

_MOMENTUM = 6


@dataclass(frozen=True)
class Switch:
    """An input of a graph that is read anew at each call.

    Attributes:
        name: Its placeholder.
        kind: ``training``, ``momentum`` or ``device``.
        module: Dotted name of the module it is read from.
    """

    name: str
    kind: str
    module: str

    def read(self, model: nn.Module) -> Any:
        """Return what the graph is to be called with.

        Args:
            model: The model that holds the module.

        Returns:
            The module's mode; its momentum, which for a plain average falls with each batch; or the model's device.
        """
        return _READERS[self.kind](model.get_submodule(self.module))


def _training(module: nn.Module) -> bool:
    return module.training


def _momentum(module: nn.Module) -> float:
    """Return the weight of a new batch, and count it: the program's own counting was taken out."""
    norm = cast("_NormBase", module)
    counted = norm.num_batches_tracked
    if norm.training and counted is not None:
        counted.add_(1)
    if norm.momentum is not None or counted is None:
        return norm.momentum or 0.0
    return 1.0 / max(1.0, float(counted))


_READERS: dict[str, Callable[[nn.Module], Any]] = {"training": _training, "momentum": _momentum, "device": device_of}


def switches(program: Program, graph: fx.Graph, model: nn.Module) -> list[Switch]:
    """Turn what is baked into a graph into inputs of it.

    A flag that does not follow the mode of its module, such as a dropout that is always on, stays as it is.

    Args:
        program: The program that the graph was copied from.
        graph: The graph; changed in place.
        model: The model whose modules own its nodes.

    Returns:
        The new inputs.
    """
    work = _Work(graph, dict(model.named_modules()), program.training)
    for node in list(graph.nodes):
        if node.op == "call_function" and hasattr(node.target, "_schema"):
            work.visit(node)
    return work.found


@dataclass(eq=False)
class _Work:
    graph: fx.Graph
    modules: dict[str, nn.Module]
    training: bool
    found: list[Switch] = field(default_factory=list)
    inputs: dict[tuple[str, str], fx.Node] = field(default_factory=dict)

    def visit(self, node: fx.Node) -> None:
        """Replace the baked arguments of one node."""
        if isinstance(node.kwargs.get("device"), torch.device):
            node.update_kwarg("device", self._input("device", ""))
        owner = module_of(node)
        name = operator_name(node)
        if owner is None or owner not in self.modules:
            return
        if name in _FLAGS:
            self._flag(node, owner, *_FLAGS[name])
        if name == "add" and isinstance(self.modules[owner], _NormBase) and not node.users:
            self.graph.erase_node(node)  # counts batches, which the momentum's reader does

    def _flag(self, node: fx.Node, owner: str, name: str, place: int) -> None:
        given = node.args[place] if len(node.args) > place else node.kwargs.get(name)
        if given is not self.training:
            return
        if len(node.args) > place:
            node.update_arg(place, self._input("training", owner))
        else:
            node.update_kwarg(name, self._input("training", owner))
        if isinstance(self.modules[owner], _NormBase) and len(node.args) > _MOMENTUM and node.args[3] is not None:
            node.update_arg(_MOMENTUM, self._new("momentum", owner))  # a norm that runs twice counts two batches

    def _input(self, kind: str, module: str) -> fx.Node:
        if (kind, module) not in self.inputs:
            self.inputs[kind, module] = self._new(kind, module)
        return self.inputs[kind, module]

    def _new(self, kind: str, module: str) -> fx.Node:
        with self.graph.inserting_before(next(iter(self.graph.nodes))):
            made = self.graph.placeholder(f"{kind}_{module}")
        made.target = made.name  # torch makes a name of it, and writes the target into its code as it is
        self.found.append(Switch(made.name, kind, module))
        return made
