"""One node of a program as its rule sees it: arguments by name, the labels and shapes of its tensors."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

import torch
from torch import fx

from niwaki.graph.edges import Edges, Units
from niwaki.records import Attention

__all__ = ["Call", "Dims", "arguments_of", "module_of", "operands_of", "operator_name", "shape_of"]

Dims = list[Units | None]


def shape_of(node: fx.Node, index: int | None = None) -> tuple[int, ...]:
    """Return the shape of a node's tensor, or of one of its tensors.

    Args:
        node: A node of an exported program.
        index: Which tensor, where the node returns several.

    Returns:
        The sizes; one that may vary, such as a batch, is that of the example. A size known only at run time raises.
    """
    value = node.meta["val"]
    return tuple(int(size) for size in (value if index is None else value[index]).shape)


def operator_name(node: fx.Node) -> str:
    """Return an ATen operator's name without namespace, overload and the underscore of in-place forms.

    Args:
        node: A node that calls something.

    Returns:
        Such as ``add`` for ``aten.add_.Tensor``; other targets give their own name.
    """
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return str(getattr(node.target, "__name__", node.target))
    namespace, _, name = str(schema.name).partition("::")
    plain = name.removesuffix("_")
    return plain if namespace == "aten" else f"{namespace}.{plain}"


def module_of(node: fx.Node) -> str | None:
    """Return the dotted name of the module whose forward made a node.

    Args:
        node: A node of an exported program.

    Returns:
        The name; empty for the root, None where it is not known.
    """
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0]) if stack else None


def arguments_of(
    node: fx.Node, args: Sequence[Any] | None = None, kwargs: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return a node's arguments by the names of its operator's schema, with defaults.

    Args:
        node: A node whose target is an operator with a schema.
        args: Values of its positional arguments, where the node is being run; the arguments themselves by default.
        kwargs: The same of its keyword arguments.

    Returns:
        Argument name to value; tensors are nodes unless values were given.
    """
    schema = cast("Any", node.target)._schema  # noqa: SLF001  # the only place torch keeps it
    found = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    given = node.args if args is None else args
    found.update(zip((argument.name for argument in schema.arguments), given, strict=False))
    found.update(node.kwargs if kwargs is None else kwargs)
    return found


def operands_of(node: fx.Node) -> list[fx.Node]:
    """Return the tensors a node reads, in order; ``x @ x`` reads the same one twice.

    Args:
        node: A node that calls something.

    Returns:
        The nodes of tensors among its arguments, also those inside lists.
    """
    found: list[fx.Node] = []
    fx.map_arg((node.args, node.kwargs), found.append)
    return [each for each in found if isinstance(each.meta.get("val"), torch.Tensor)]


class Call:
    """A node with the labels of what it reads.

    Args:
        node: The node; its target is an operator with a schema.
        states: Labels of the nodes walked so far: a list per dimension, or a list of these for several tensors.
        edges: Where the rule adds its demands.
        permutations: Whether channels may be permuted freely; else what Python interleaves keeps its shape.
        attention: Whether channels inside heads go, or whole heads.

    Attributes:
        produced: Nodes and dimensions the rule found to produce channels.
        bounds: Nodes, dimensions, the positions where the rule found them cut, and what to freeze if those are uneven.
        made: Fresh units of sizes that stand in the code.
        shuffled: Whether the rule let channels be permuted.
    """

    def __init__(
        self,
        node: fx.Node,
        states: dict[fx.Node, Any],
        edges: Edges,
        *,
        permutations: bool = False,
        attention: Attention,
    ) -> None:
        self.node = node
        self.edges = edges
        self.permutations = permutations
        self.attention = attention
        self.produced: list[tuple[fx.Node, int]] = []
        self.bounds: list[tuple[fx.Node, int, set[int], list[slice]]] = []
        self.made: list[Units] = []
        self.shuffled = False
        self._states = states

    @cached_property
    def arguments(self) -> dict[str, Any]:
        """Arguments by the names of the operator's schema, with defaults."""
        return arguments_of(self.node)

    def __getitem__(self, name: str) -> Any:
        return self.arguments[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, or a default where the operator has none of that name."""
        return self.arguments.get(name, default)

    @cached_property
    def tensors(self) -> list[fx.Node]:
        """The nodes of all tensors the node reads, in order, also those inside lists and those read twice."""
        return operands_of(self.node)

    @property
    def main(self) -> fx.Node:
        """The first tensor among the arguments."""
        return self.tensors[0]

    def labels(self, argument: fx.Node | str) -> Dims:
        """Return a copy of the labels of a tensor argument, one for each dimension."""
        node = self.arguments[argument] if isinstance(argument, str) else argument
        return list(self._states[node])

    def shape(self, argument: fx.Node | str) -> tuple[int, ...]:
        """Return the shape of a tensor argument."""
        return shape_of(self.arguments[argument] if isinstance(argument, str) else argument)

    def has(self, argument: str) -> bool:
        """Whether an optional tensor was given."""
        return isinstance(self.arguments.get(argument), fx.Node)

    @property
    def many(self) -> bool:
        """Whether the node returns several tensors."""
        return isinstance(self.node.meta["val"], list | tuple)

    @property
    def out(self) -> tuple[int, ...]:
        """The shape of the returned tensor."""
        return shape_of(self.node)

    @property
    def outs(self) -> list[tuple[int, ...]]:
        """The shapes of all returned tensors; empty for those that are none."""
        value = self.node.meta["val"]
        return [shape_of(self.node, i) if isinstance(each, torch.Tensor) else () for i, each in enumerate(value)]

    def dim(self, argument: fx.Node | str, name: str = "dim") -> int:
        """Return the dimension an argument names, counted from the front."""
        rank = len(self.shape(argument))
        return int(self.arguments[name]) % max(rank, 1)

    def produces(self, argument: str, dim: int) -> None:
        """Say that a dimension of a tensor argument, a weight, is where channels are made."""
        self.produced.append((self.arguments[argument], dim))

    def bounded(self, node: fx.Node, dim: int, positions: set[int], fixed: list[slice]) -> None:
        """Say that Python cuts a dimension; only labelled dimensions matter.

        Args:
            node: The tensor that is cut.
            dim: Its dimension.
            positions: Where.
            fixed: What must stay for literal positions to keep their meaning; used when they are uneven.
        """
        if self._states[node][dim] is not None:
            self.bounds.append((node, dim, positions, fixed))

    def fresh(self, size: int) -> Units | None:
        """Return fresh units for a dimension whose size stands in the code; None for size 1."""
        if size <= 1:
            return None
        self.made.append(self.edges.fresh(size))
        return self.made[-1]

    def freeze(self, dims: Iterable[Units | None]) -> None:
        """Freeze every label given."""
        for units in dims:
            self.edges.freeze(units)

    def freeze_inputs(self) -> None:
        """Freeze everything the node reads."""
        for node in self.tensors:
            self.freeze(self._states[node])
