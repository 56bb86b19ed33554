"""Multiply-accumulates of every node, counted by torch's own formulas on tensors without data."""

import operator
from typing import Any

import torch
from torch import fx
from torch.utils.flop_counter import FlopCounterMode

from niwaki.graph.call import operator_name
from niwaki.graph.program import Program
from niwaki.graph.rules import arrange, create, elementwise, find_rule, pieces, view

__all__ = ["node_macs", "uncounted"]

# Rules whose operators only move, make or map single values: they have no products to count.
FREE = frozenset({
    elementwise.elementwise, arrange.permute, arrange.cat, arrange.stack, arrange.flip, arrange.repeat,
    arrange.constant_pad, arrange.pad, pieces.split, pieces.slice_, pieces.narrow, pieces.select, pieces.unbind,
    view.view, create.constant_values, create.values_by_position, create.expand,
})  # fmt: skip
MOVED = frozenset({
    "clone", "contiguous", "alias", "detach", "to", "_to_copy", "type_as", "dropout", "fill", "zero", "zeros_like",
    "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "lift_fresh", "lift_fresh_copy",
    "feature_dropout", "alpha_dropout",
})  # fmt: skip


def node_macs(program: Program) -> dict[str, int]:
    """Count the multiply-accumulates of every node that has some.

    Args:
        program: One path through a model.

    Returns:
        Node name to MACs for its example, as given (a batch of two counts twice): half the FLOPs of
        ``torch.utils.flop_counter``.

    Examples:
        >>> from torch import nn
        >>> from niwaki.graph import trace
        >>> node_macs(trace(nn.Linear(3, 2), torch.zeros(5, 3)).programs[0])
        {'linear': 30}
    """
    if "macs" not in program.memo:
        program.memo["macs"] = _count(program)
    counted: dict[str, int] = program.memo["macs"]
    return dict(counted)


def uncounted(program: Program) -> tuple[str, ...]:
    """Name the operators that do arithmetic over several values, for which torch has no count.

    Args:
        program: One path through a model.

    Returns:
        Operator names in alphabetic order, such as ``batch_norm`` and ``max_pool2d``.

    Examples:
        >>> from torch import nn
        >>> from niwaki.graph import trace
        >>> model = nn.Sequential(nn.Conv1d(3, 2, 1), nn.ReLU(), nn.MaxPool1d(2), nn.BatchNorm1d(2))
        >>> uncounted(trace(model, torch.zeros(1, 3, 4)).programs[0])
        ('batch_norm', 'max_pool1d')
    """
    counted = node_macs(program)
    return tuple(sorted({operator_name(node) for node in program if _works(node) and node.name not in counted}))


def _works(node: fx.Node) -> bool:
    if node.op != "call_function" or node.target is operator.getitem or operator_name(node) in MOVED:
        return False
    return find_rule(operator_name(node), node.target, elementwise.elementwise) not in FREE


def _count(program: Program) -> dict[str, int]:
    with torch.no_grad():
        counted = {node.name: _node_flops(node) // 2 for node in program if _works(node)}
    return {name: macs for name, macs in counted.items() if macs}


def _node_flops(node: fx.Node) -> int:
    args, kwargs = fx.map_arg((node.args, node.kwargs), lambda each: each.meta["val"])
    target: Any = node.target
    with FlopCounterMode(display=False) as counter:
        target(*args, **kwargs)
    return int(counter.get_total_flops())
