"""Sizes that Python computes from the sizes of other tensors, as demands on how many channels both keep."""

from collections.abc import Iterator
from typing import cast

import numpy as np
from torch import Tensor, fx

from niwaki.graph.call import operator_name
from niwaki.graph.classes import Classes, State
from niwaki.graph.origins import Expression, OriginInt, SizeOf
from niwaki.graph.program import Program

__all__ = ["size_demands"]

_SHAPED = frozenset({"view", "reshape", "_unsafe_view", "expand", "broadcast_to"})
"""Operators whose integers are the sizes of what they return."""

_FUSED = "multi_head_attention_forward"


def size_demands(program: Program, values: dict[str, State]) -> Iterator[list[Classes]]:
    """Find sizes that must stay in proportion because the model's code says so.

    ``y.reshape(n, length, c)`` with c read from the shape of x demands that y keeps as many channels as x; with
    ``c // heads`` that x keeps ``heads`` times as many. Torch's fused attention demands it of its width inside.

    Args:
        program: A program whose export was watched.
        values: The labels of its values by class.

    Yields:
        Two arrays of class ids that must keep equal numbers.
    """
    makers: dict[int, list[fx.Node]] = {}
    for name, number in program.calls.made_by.items():
        makers.setdefault(number, []).append(program.node(name))
    for number, nodes in makers.items():
        call = program.calls.calls[number]
        if call.function == _FUSED:
            yield from _fused(nodes, values)
        elif len(nodes) == 1 and _shaped_by(nodes[0], call.integers):
            for dim, integer in enumerate(call.integers):
                yield from _proportion(nodes[0], dim, integer, makers, values)


def _shaped_by(node: fx.Node, integers: tuple[int, ...]) -> bool:
    """Tell whether a call's integers are the sizes of what a node returns."""
    if operator_name(node) not in _SHAPED:
        return False
    sizes = node.args[1]
    return isinstance(sizes, list | tuple) and list(sizes) == list(integers)


def _proportion(
    node: fx.Node, dim: int, integer: int, makers: dict[int, list[fx.Node]], values: dict[str, State]
) -> Iterator[list[Classes]]:
    source = _scaled(integer.origin) if isinstance(integer, OriginInt) else None
    target = _labels(node, dim, values)
    if source is None or target is None or source.call not in makers:
        return
    made = [each for each in makers[source.call] if _size(each, source.dim) == source.size]
    read = _labels(made[-1], source.dim, values) if made else None
    if read is None or max(target.size, read.size) % min(target.size, read.size):
        return
    yield _alike(target, read)


def _scaled(expression: Expression) -> SizeOf | None:
    """Return the only size that an integer was computed from by multiplying and dividing, or None."""
    if isinstance(expression, SizeOf):
        return expression
    if not isinstance(expression, tuple) or expression[0] not in {"*", "//"}:
        return None
    left, right = expression[1:]
    if isinstance(left, int) and expression[0] == "*":
        return _scaled(right)
    return None if isinstance(right, SizeOf | tuple) else _scaled(left)


def _fused(nodes: list[fx.Node], values: dict[str, State]) -> Iterator[list[Classes]]:
    """Queries come in as wide as they are inside."""
    first = next((node for node in nodes if operator_name(node) == "linear"), None)
    if first is None:
        return
    data, weight = (cast("fx.Node", each) for each in first.args[:2])
    width = _size(data, -1)
    inside = _labels(weight, 0, values)
    outside = _labels(data, -1, values)
    if inside is not None and outside is not None and width is not None:
        yield _alike(inside[:width], outside)


def _alike(first: Classes, second: Classes) -> list[Classes]:
    """Repeat the shorter array, so that equal numbers are the same share."""
    size = max(first.size, second.size)
    return [np.tile(each, size // each.size) for each in (first, second)]


def _labels(node: fx.Node, dim: int, values: dict[str, State]) -> Classes | None:
    """Return a dimension's classes; class 0, which stays, where it is frozen whole; None for sizes that vary."""
    size, state = _size(node, dim), values.get(node.name)
    if size is None or state is None or isinstance(state, list):
        return None
    found = state[dim]
    return np.zeros(size, dtype=np.int64) if found is None else found


def _size(node: fx.Node, dim: int) -> int | None:
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or not -value.ndim <= dim < value.ndim:
        return None
    size = value.shape[dim]
    return size if type(size) is int and size > 0 else None
