"""Carry labels through programs, node by node, and collect what must be removed together."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx

from niwaki.graph.call import Call, Dims, module_of, operator_name, shape_of
from niwaki.graph.edges import Edges, Units
from niwaki.graph.peephole import Shuffle, find_shuffles
from niwaki.graph.program import Program, Traced
from niwaki.graph.rules import elementwise, find_rule
from niwaki.records import Attention

__all__ = ["Unknown", "Walk", "Walker"]

MOST_PIECES = 4


@dataclass(frozen=True)
class Unknown:
    """A node without a rule: its cause index marks the edges it added."""

    node: str
    operator: str
    module: str
    cause: int


@dataclass(eq=False)
class Walk:
    """What walking the programs of one model gave.

    Attributes:
        edges: Units and the demands on them.
        tensors: Canonical name to the labels of a parameter or buffer; None where a dimension has none.
        states: For each program, node to its labels or list of labels.
        produced: Tensors and dimensions where channels are made, in program order.
        chunks: Pieces of dimensions that must keep equal numbers.
        unknown: Nodes without a rule.
        shuffles: Names of nodes that permute channels.
        made: Units of new tensors whose sizes stand in the code.
    """

    edges: Edges
    tensors: dict[str, Dims] = field(default_factory=dict)
    states: list[dict[fx.Node, Any]] = field(default_factory=list)
    produced: dict[tuple[str, int], None] = field(default_factory=dict)
    chunks: list[list[Units]] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    shuffles: list[str] = field(default_factory=list)
    made: list[Units] = field(default_factory=list)


class Walker:
    """Walks the programs of a model with the same units for its parameters and buffers.

    Args:
        traced: The programs.
        permutations: Whether channels may be permuted freely where a chain of views does so.
        attention: Whether channels inside heads go, or whole heads.
    """

    def __init__(self, traced: Traced, *, permutations: bool, attention: Attention) -> None:
        self.traced = traced
        self.permutations = permutations
        self.attention = attention
        self.walk = Walk(Edges())
        self._dispatch: dict[str, Callable[[Program, fx.Node], None]] = {
            "placeholder": self._source,
            "output": self._sink,
            "get_attr": self._blank,
        }
        for name, shape in traced.shapes.items():
            self.walk.tensors[name] = [self.walk.edges.fresh(size) if size > 1 else None for size in shape]

    def run(self) -> Walk:
        """Walk all programs and return what was found."""
        for program in self.traced.programs:
            self._walk(program)
        return self.walk

    def _walk(self, program: Program) -> None:
        self.states: dict[fx.Node, Any] = {}
        self.bounds: dict[tuple[fx.Node, int], tuple[set[int], list[slice]]] = {}
        shuffles = find_shuffles(program.graph) if self.permutations else []
        self.shuffles = {shuffle.last: shuffle for shuffle in shuffles}
        self.middle = {node for shuffle in shuffles for node in shuffle.middle}
        for node in program:
            self._dispatch.get(node.op, self._call)(program, node)
        self._settle_bounds()
        self.walk.states.append(self.states)

    def _source(self, program: Program, node: fx.Node) -> None:
        name = program.tensors.get(node.name)
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor):
            return
        labelled = name is not None and (value.is_floating_point() or _is_index(value))
        self.states[node] = list(self.walk.tensors[name]) if labelled and name is not None else [None] * value.ndim

    def _sink(self, program: Program, node: fx.Node) -> None:
        tasks = {produced: name for name, nodes in program.outputs.items() for produced in nodes}
        for returned in node.all_input_nodes:
            if returned in self.states:
                self.walk.edges.because(f"the output {tasks.get(returned.name, returned.name)!r}")
                _freeze_all(self.walk.edges, self.states[returned])

    def _blank(self, _program: Program, node: fx.Node) -> None:
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            self.states[node] = [None] * value.ndim

    def _call(self, program: Program, node: fx.Node) -> None:
        if node.target is operator.getitem:
            source = node.args[0]
            if source in self.states:
                self.states[node] = self.states[source][node.args[1]]  # type: ignore[index]  # fx types arguments loosely
            return
        if not _gives_tensors(node):
            return
        self.walk.edges.because(f"{node.target} {_place(node)}")
        if node in self.middle:
            self.states[node] = [None] * node.meta["val"].ndim
        elif node in self.shuffles:
            self.states[node] = self._permuted(self.shuffles[node])
        else:
            self._apply(program, node)

    def _permuted(self, shuffle: Shuffle) -> Dims:
        dims = list(self.states[shuffle.source])
        units = dims[shuffle.dim]
        dims[shuffle.dim] = None if units is None else units[shuffle.order]
        self.walk.shuffles.append(shuffle.last.name)
        return dims

    def _apply(self, program: Program, node: fx.Node) -> None:
        edges, attention = self.walk.edges, self.attention
        call = Call(node, self.states, edges, permutations=self.permutations, attention=attention)
        result = _by_rule(call)
        if result is None:
            result = self._unknown(call)
        self.states[node] = _settled(self.walk.edges, node, result)
        self._keep_findings(program, call)

    def _unknown(self, call: Call) -> Any:
        node, edges = call.node, self.walk.edges
        edges.because(f"the operator {node.target} {_place(node)}, which has no rule")
        self.walk.unknown.append(Unknown(node.name, str(node.target), module_of(node) or "", len(edges.causes) - 1))
        call.freeze_inputs()
        value = node.meta["val"]
        if isinstance(value, torch.Tensor):
            return [None] * value.ndim
        return [[None] * each.ndim if isinstance(each, torch.Tensor) else [] for each in value]

    def _keep_findings(self, program: Program, call: Call) -> None:
        for node, dim in call.produced:
            name = _parameter_behind(program, node, dim)
            if name is not None:
                self.walk.produced.setdefault((name, dim))
        for node, dim, positions, fixed in call.bounds:
            known = self.bounds.setdefault((node, dim), (set(), []))
            known[0].update(positions)
            known[1].extend(fixed)
        self.walk.made += call.made
        if call.shuffled:
            self.walk.shuffles.append(call.node.name)

    def _settle_bounds(self) -> None:
        """Turn the places where Python cuts a dimension into equal pieces, or freeze it where they are uneven."""
        for (node, dim), (positions, fixed) in self.bounds.items():
            units = self.states[node][dim]
            size = units.size
            inner = positions - {0, size}
            counts = range(2, max(MOST_PIECES, len(inner) + 1) + 1)
            pieces = next((n for n in counts if size % n == 0 and all(p % (size // n) == 0 for p in inner)), None)
            if not inner:
                continue
            if pieces is None:
                self.walk.edges.because(
                    f"Python, which cuts {node.name} {_place(node)} at uneven places {sorted(inner)}"
                )
                for each in fixed:
                    self.walk.edges.freeze(units[each])
            else:
                self.walk.chunks.append(list(units.reshape(pieces, -1)))


def _parameter_behind(program: Program, node: fx.Node, dim: int) -> str | None:
    """Return the tensor that a weight is, or the first one of its size that it is computed from."""
    size, seen, todo = node.meta["val"].shape[dim], {node}, [node]
    while todo:
        each = todo.pop(0)
        name = program.tensors.get(each.name)
        shape = each.meta["val"].shape if isinstance(each.meta.get("val"), torch.Tensor) else ()
        if name is not None and len(shape) > dim and shape[dim] == size:
            return name
        todo += [source for source in each.all_input_nodes if source not in seen]
        seen.update(each.all_input_nodes)
    return None


def _by_rule(call: Call) -> Any:
    """Apply the node's rule; None where there is none or it does not cover this use, which freezes: always sound."""
    found = find_rule(operator_name(call.node), call.node.target, elementwise.elementwise)
    if found is None or not _is_static(call.node):
        return None
    return found(call)


def _is_index(value: torch.Tensor) -> bool:
    """Whether a buffer may be an index into channels: each position selects one of them, and can go by itself."""
    return value.ndim == 1 and value.dtype in (torch.int32, torch.int64)


def _gives_tensors(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) or (
        isinstance(value, list | tuple) and any(isinstance(each, torch.Tensor) for each in value)
    )


def _is_static(node: fx.Node) -> bool:
    """Whether all sizes that the node reads and writes are known."""
    values = [each.meta.get("val") for each in (node, *node.all_input_nodes)]
    tensors = [each for each in torch.utils._pytree.tree_leaves(values) if isinstance(each, torch.Tensor)]  # noqa: SLF001
    return all(_is_known(size) for tensor in tensors for size in tensor.shape)


def _is_known(size: int | torch.SymInt) -> bool:
    """Whether a size is a number, or one that may vary and has the example's value."""
    return isinstance(size, int) or size.node.has_hint()


def _settled(edges: Edges, node: fx.Node, result: Any) -> Any:
    """Freeze labels of dimensions of size 1: removing such a position would leave nothing."""
    if isinstance(node.meta["val"], torch.Tensor):
        return _settled_dims(edges, shape_of(node), result)
    shapes = [shape_of(node, i) if isinstance(each, torch.Tensor) else () for i, each in enumerate(node.meta["val"])]
    return [_settled_dims(edges, shape, dims) for shape, dims in zip(shapes, result, strict=True)]


def _settled_dims(edges: Edges, shape: tuple[int, ...], dims: Iterable[Units | None]) -> Dims:
    settled: Dims = []
    for size, units in zip(shape, dims, strict=True):
        if units is not None and size == 1:
            edges.freeze(units)
        assert units is None or units.size == size
        settled.append(None if size == 1 else units)
    return settled


def _freeze_all(edges: Edges, state: Any) -> None:
    for each in state:
        if isinstance(each, list):
            _freeze_all(edges, each)
        elif each is not None:
            edges.freeze(each)


def _place(node: fx.Node) -> str:
    module = module_of(node)
    return f"in {module}" if module else "in the model's own forward"
