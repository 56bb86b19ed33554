"""Pieces of a dimension: split, chunk, slice, select, unbind."""

from itertools import pairwise
from typing import Any

from niwaki.graph.call import Call, Dims
from niwaki.graph.edges import Units
from niwaki.graph.rules.table import Result, rule

__all__ = ["glu", "narrow", "select", "slice_", "split", "unbind", "unfold"]


@rule(
    "split", "split_with_sizes", "chunk", "tensor_split", "unsafe_split", "unsafe_chunk", "unsafe_split_with_sizes",
    "hsplit", "vsplit", "dsplit",
)  # fmt: skip
def split(call: Call) -> Result:
    """Cut the labels where the tensor is cut; equal pieces must keep equal numbers."""
    dims, shape = call.labels("self"), call.shape("self")
    dim = next((i for i, sizes in enumerate(zip(shape, *call.outs, strict=True)) if len(set(sizes)) > 1), None)
    if dim is None:
        return [list(dims) for _ in call.outs]
    bounds = [0]
    for out in call.outs:
        bounds.append(bounds[-1] + out[dim])
    call.bounded(call.arguments["self"], dim, set(bounds), [slice(None)])
    return [_replaced(dims, dim, (start, stop)) for start, stop in pairwise(bounds)]


def _replaced(dims: Dims, dim: int, span: tuple[int, int]) -> Dims:
    units = dims[dim]
    return [*dims[:dim], None if units is None else units[span[0] : span[1]], *dims[dim + 1 :]]


def _clamped(value: Any, size: int, default: int) -> int:
    if value is None:
        return default
    number = int(value)
    return max(0, min(size, number + size if number < 0 else number))


@rule("slice")
def slice_(call: Call) -> Result:
    """Slice the labels; a step over channels freezes them, since Python counts positions."""
    dims, dim = call.labels("self"), call.dim("self")
    size = call.shape("self")[dim]
    start, stop = _clamped(call["start"], size, 0), _clamped(call["end"], size, size)
    step = int(call["step"])
    units = dims[dim]
    if step != 1:
        call.edges.freeze(units)
        dims[dim] = None
        return dims
    ends = [(start, call["start"]), (stop, call["end"])]
    front = max((place for place, given in ends if given is not None and 0 <= int(given) < size), default=0)
    back = min((place for place, given in ends if given is not None and int(given) < 0), default=size)
    call.bounded(call.arguments["self"], dim, {start, stop}, [slice(front), slice(back, None)])
    return _replaced(dims, dim, (start, max(start, stop)))


@rule("narrow")
def narrow(call: Call) -> Result:
    """A slice by start and length."""
    dims, dim = call.labels("self"), call.dim("self")
    start = int(call["start"]) % max(call.shape("self")[dim], 1)
    stop = start + int(call["length"])
    call.bounded(call.arguments["self"], dim, {start, stop}, [slice(stop)])
    return _replaced(dims, dim, (start, stop))


@rule("select")
def select(call: Call) -> Result:
    """Freeze the selected position, and all from the end it is counted from: its number must not change."""
    dims, dim, chosen = call.labels("self"), call.dim("self"), int(call["index"])
    units = dims[dim]
    if units is not None:
        call.edges.freeze(units[: chosen + 1] if chosen >= 0 else units[chosen:])
    return [*dims[:dim], *dims[dim + 1 :]]


@rule("unbind")
def unbind(call: Call) -> Result:
    """Freeze the dimension: Python counts its pieces."""
    dims, dim = call.labels("self"), call.dim("self")
    call.edges.freeze(dims[dim])
    return [[*dims[:dim], *dims[dim + 1 :]] for _ in call.outs]


@rule("unfold")
def unfold(call: Call) -> Result:
    """Freeze the dimension windows slide along; what a window holds is a new last dimension."""
    dims, dim = call.labels("self"), call.dim("self", "dimension")
    call.edges.freeze(dims[dim])
    return [*dims[:dim], None, *dims[dim + 1 :], None]


@rule("glu")
def glu(call: Call) -> Result:
    """Halves gate one another: channel i goes with channel i of the other half."""
    dims, dim = call.labels("self"), call.dim("self")
    units: Units | None = dims[dim]
    dims[dim] = None if units is None else call.edges.alike(units.reshape(2, -1))
    return dims
