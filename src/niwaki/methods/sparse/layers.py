"""Which weights of a model can be sparse: those that convolutions and matrix products read, found in its programs."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Literal

from torch import Tensor, fx

from niwaki.graph import Program, Traced, find_parts, node_macs, operator_name, sources

__all__ = ["Layer", "Place", "find_layers"]

Place = Literal["first", "inner", "prediction"]

_PRODUCTS = frozenset({
    "linear", "matmul", "mm", "bmm", "addmm", "addbmm", "baddbmm", "addmv", "mv", "einsum", "bilinear",
    "conv1d", "conv2d", "conv3d", "convolution", "_convolution", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "lstm", "gru", "rnn_tanh", "rnn_relu", "_native_multi_head_attention",
})  # fmt: skip
"""Operators that multiply weights with data."""

_ZEROS_STAY = frozenset({
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "numpy_T", "contiguous", "clone", "squeeze",
    "unsqueeze", "index_select", "index", "gather", "select", "slice", "narrow", "split", "split_with_sizes", "chunk",
    "unbind", "cat", "stack", "expand", "expand_as", "repeat", "repeat_interleave", "to", "_to_copy", "type_as",
    "alias", "detach", "mul", "div", "neg", "getitem", "flip", "movedim", "moveaxis", "swapaxes", "embedding",
})  # fmt: skip
"""Operators that a weight may go through before it is used: a zero is still a zero afterwards."""

_SCALING = frozenset({"mul", "div"})

Weights = frozenset[str]


@dataclass(frozen=True)
class Layer:
    """A weight that can be sparse.

    Attributes:
        name: Canonical name of the parameter.
        shape: Its shape.
        part: ``trunk``, ``branch a+b`` or ``head a``.
        place: Whether it reads the model's input (``first``), makes an output (``prediction``), or lies between.
        macs: Multiply-accumulates that it takes part in, of one forward pass of every example.
        tasks: Tasks that use it.

    Examples:
        >>> Layer("conv.weight", (4, 3, 3, 3), "head depth").size
        108
    """

    name: str
    shape: tuple[int, ...]
    part: str
    place: Place = "inner"
    macs: int = 0
    tasks: frozenset[str] = frozenset()

    @property
    def size(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def in_head(self) -> bool:
        """Whether one task of several uses it."""
        return self.part.startswith("head ")


def find_layers(traced: Traced) -> dict[str, Layer]:
    """Find the weights that products read, with the part each belongs to and the work it takes part in.

    Weights that are put together before they are used (rows of a bank, scaled, reshaped or joined ones) count, since a
    zero in them stays one. Those that are shifted or normalised first don't.

    Args:
        traced: The model, read by `niwaki.graph.trace`.

    Returns:
        Canonical name to layer, in the order of the model.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import trace
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 1, 1))
        >>> {name: (each.place, each.macs) for name, each in find_layers(trace(net, torch.zeros(1, 3, 4, 4))).items()}
        {'0.weight': ('first', 192), '2.weight': ('inner', 576), '3.weight': ('prediction', 16)}
    """
    parts = find_parts(traced)
    places: dict[str, Place] = {}
    macs: dict[str, int] = {}
    for program in traced.programs:
        read = _Reading.of(program, traced)
        places.update(dict.fromkeys(read.names() - places.keys(), "inner"))
        places.update(dict.fromkeys(read.first(), "first"))
        places.update(dict.fromkeys(read.predictions(), "prediction"))
        if program in traced.eval_programs:
            _add(macs, read.macs(traced.shapes))
    tasks = {name: of & set(traced.tasks) for name, of in parts.of.items()}
    return {
        name: Layer(name, shape, parts.part(parts.of[name]), places[name], macs.get(name, 0), tasks[name])
        for name, shape in traced.shapes.items()
        if name in places and parts.of[name]
    }


@dataclass(frozen=True, eq=False)
class _Reading:
    """One program: what each node comes from, and the products with the weights that each of them reads."""

    program: Program
    flow: Mapping[fx.Node, list[fx.Node]]
    products: Mapping[fx.Node, Weights]

    @classmethod
    def of(cls, program: Program, traced: Traced) -> "_Reading":
        flow = sources(program)
        carried: dict[fx.Node, Weights | None] = {}  # the weights whose zeros a node holds; None for data
        products: dict[fx.Node, Weights] = {}
        for node in program:
            if node.op == "placeholder":
                carried[node] = _held(program, node, traced)
                continue
            found = [carried[each] for each in flow[node] if not _scales(each, node)]
            weights = frozenset[str]().union(*(each for each in found if each is not None))
            product = operator_name(node) in _PRODUCTS
            if None in found:
                carried[node] = None
                products.update({node: weights} if product and weights else {})
            else:
                carried[node] = weights if product or operator_name(node) in _ZEROS_STAY else frozenset()
        return cls(program, flow, products)

    def names(self) -> set[str]:
        """Return every weight that a product reads."""
        return set().union(*self.products.values())

    def first(self) -> set[str]:
        """Return the weights of products that no other product comes before."""
        behind: set[fx.Node] = set()
        for node in self.program:
            if any(each in behind or each in self.products for each in self.flow[node]):
                behind.add(node)
        return set().union(*(names for node, names in self.products.items() if node not in behind))

    def predictions(self) -> set[str]:
        """Return the weights of products that no other product comes after on the way to an output."""
        found: set[str] = set()
        todo, seen = [self.program.graph.output_node()], set[fx.Node]()
        while todo:
            node = todo.pop()
            if node in self.products:
                found |= self.products[node]
            elif node not in seen:
                seen.add(node)
                todo += self.flow[node]
        return found

    def macs(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """Return the work of each weight; several in one product share it by their sizes."""
        counted, found = node_macs(self.program), dict[str, int]()
        for node, names in self.products.items():
            sizes = {name: prod(shapes[name]) for name in sorted(names)}
            work = counted.get(node.name, 0)
            _add(found, {name: work * size // max(sum(sizes.values()), 1) for name, size in sizes.items()})
        return found


def _scales(operand: fx.Node, node: fx.Node) -> bool:
    """Tell whether a node only scales another operand, row by row or as a whole, by this one."""
    if operator_name(node) not in _SCALING:
        return False
    part, whole = (each.meta.get("val") for each in (operand, node))
    return isinstance(part, Tensor) and isinstance(whole, Tensor) and part.numel() < whole.numel()


def _held(program: Program, node: fx.Node, traced: Traced) -> Weights | None:
    """Return what a placeholder holds: a weight, nothing that could be sparse, or data."""
    name = program.tensors.get(node.name)
    if name is None:
        return None
    return frozenset({name} if name in traced.parameters and len(traced.shapes[name]) > 1 else ())


def _add(sums: dict[str, int], more: Mapping[str, int]) -> None:
    for name, value in more.items():
        sums[name] = sums.get(name, 0) + value
