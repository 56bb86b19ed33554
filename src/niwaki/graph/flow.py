"""What a node's values depend on: its arguments, and whatever was written into their memory before."""

from dataclasses import dataclass, field

import torch
from torch import fx

from niwaki.graph.call import operator_name
from niwaki.graph.program import Program

__all__ = ["sources", "written"]

# These read only the shape of their argument.
SHAPE_ONLY = frozenset({
    "zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "new_zeros", "new_ones",
    "new_full", "new_empty",
})  # fmt: skip

# These may return their argument itself, and their schema does not say so.
SAME_MEMORY = frozenset({"dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout", "to", "type_as"})


@dataclass(eq=False)
class _Memory:
    """Which nodes share memory, and who wrote to it last."""

    root: dict[fx.Node, fx.Node] = field(default_factory=dict)
    writer: dict[fx.Node, fx.Node] = field(default_factory=dict)

    def of(self, node: fx.Node) -> fx.Node:
        return self.root.get(node, node)


def sources(program: Program) -> dict[fx.Node, list[fx.Node]]:
    """Return for each node the nodes its values come from.

    Args:
        program: A program that still has in-place operators.

    Returns:
        Node to its arguments and to the last node that wrote into memory it reads. The output node stands with the
        nodes it returns and their writers.
    """
    memory = _Memory()
    found: dict[fx.Node, list[fx.Node]] = {}
    for node in program:
        read = [] if operator_name(node) in SHAPE_ONLY else list(node.all_input_nodes)
        found[node] = [*read, *(memory.writer[root] for each in read if (root := memory.of(each)) in memory.writer)]
        _follow(memory, node)
    return found


def written_before_output(program: Program) -> dict[fx.Node, fx.Node]:
    """Return for each returned node the last node that wrote into its memory, where one did."""
    memory = _Memory()
    for node in program:
        _follow(memory, node)
    returned = program.graph.output_node().all_input_nodes
    return {node: memory.writer[memory.of(node)] for node in returned if memory.of(node) in memory.writer}


def written(program: Program) -> frozenset[str]:
    """Return the parameters and buffers whose memory an operator of a program writes into, also through a view.

    Args:
        program: A program that still has in-place operators.

    Returns:
        Canonical names. What norms do to their statistics in train mode, which no schema tells, is not among them.

    Examples:
        >>> from niwaki.graph.trace import trace
        >>> norm = torch.nn.BatchNorm1d(2)
        >>> norm.forward = lambda x: x + norm.weight.detach().clamp_(0, 1)
        >>> [sorted(written(program)) for program in trace(norm, torch.zeros(1, 2)).programs]
        [['weight']]
    """
    memory = _Memory()
    for node in program:
        _follow(memory, node)
    return frozenset(program.tensors[node.name] for node in memory.writer if node.name in program.tensors)


def _follow(memory: _Memory, node: fx.Node) -> None:
    """Note whose memory the node's result lies in, and what it wrote."""
    if node.op != "call_function" or not node.all_input_nodes:
        return
    schema = getattr(node.target, "_schema", None)
    if schema is None or operator_name(node) in SAME_MEMORY:
        memory.root[node] = memory.of(node.all_input_nodes[0])
        return
    given = dict(zip((argument.name for argument in schema.arguments), node.args, strict=False)) | node.kwargs
    for argument in schema.arguments:
        source = given.get(argument.name)
        if argument.alias_info is None or not isinstance(source, fx.Node):
            continue
        memory.root[node] = memory.of(source)
        if argument.alias_info.is_write and isinstance(source.meta.get("val"), torch.Tensor):
            memory.writer[memory.of(source)] = node
