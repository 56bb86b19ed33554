"""Operators that move whole dimensions or positions: permute, cat, stack, split, slice, flip, pad, repeat."""

from typing import Any

import numpy as np
import torch

from niwaki.graph.call import Call, Dims
from niwaki.graph.edges import FROZEN, Units
from niwaki.graph.rules.elementwise import broadcast
from niwaki.graph.rules.table import Result, rule

__all__ = ["cat", "constant_pad", "flip", "pad", "permutation_of", "permute", "repeat", "stack"]


def permutation_of(target: Any, rank: int, rest: tuple[Any, ...], options: dict[str, Any]) -> list[int]:
    """Return which input dimension each output dimension of a permuting operator is.

    The operator is run on a tensor without data whose sizes are all different.

    Args:
        target: The operator.
        rank: Number of dimensions of its input.
        rest: Its other positional arguments.
        options: Its keyword arguments.

    Returns:
        For each output dimension the input dimension.

    Examples:
        >>> permutation_of(torch.ops.aten.transpose.int, 3, (1, 2), {})
        [0, 2, 1]
    """
    probe = torch.empty(tuple(range(2, rank + 2)), device="meta")
    return [int(size) - 2 for size in target(probe, *rest, **options).shape]


@rule("permute", "transpose", "t", "swapaxes", "swapdims", "movedim", "moveaxis", "numpy_T", "mT", "adjoint")
def permute(call: Call) -> Result:
    """Permute the labels as the dimensions are."""
    dims = call.labels(call.main)
    order = permutation_of(call.node.target, len(dims), call.node.args[1:], dict(call.node.kwargs))
    return [dims[index] for index in order]


@rule("cat", "concat", "concatenate")
def cat(call: Call) -> Result:
    """Concatenate the labels along one dimension, join them in the others; of nothing it is not covered."""
    nodes = [node for node in call["tensors"] if call.shape(node) != (0,)]
    if not nodes:
        return None
    dim = int(call["dim"]) % len(call.out)
    pieces = [_array(call.labels(node)[dim], call.shape(node)[dim]) for node in nodes]
    whole = np.concatenate(pieces)
    others = broadcast(
        call.edges,
        [(_without(call.labels(node), dim), _without(call.shape(node), dim)) for node in nodes],
        tuple(_without(call.out, dim)),
    )
    return [*others[:dim], whole if whole.any() else None, *others[dim:]]


@rule("stack")
def stack(call: Call) -> Result:
    """Join the labels; the new dimension is frozen."""
    nodes = list(call["tensors"])
    dim = int(call["dim"]) % len(call.out)
    shape = call.shape(nodes[0])
    others = broadcast(call.edges, [(call.labels(node), shape) for node in nodes], shape)
    return [*others[:dim], None, *others[dim:]]


def _array(units: Units | None, size: int) -> Units:
    return np.full(size, FROZEN, dtype=np.int64) if units is None else units


def _without(values: Any, dim: int) -> Any:
    return (*values[:dim], *values[dim + 1 :])


@rule("flip")
def flip(call: Call) -> Result:
    """Reverse the labels."""
    dims = call.labels("self")
    for each in call["dims"]:
        units = dims[each]
        dims[each] = None if units is None else units[::-1]
    return dims


@rule("repeat", "tile")
def repeat(call: Call) -> Result:
    """Repeat the labels; dimensions of size 1 and new ones get fresh units."""
    dims, shape, out = call.labels("self"), call.shape("self"), call.out
    ahead = len(out) - len(shape)
    result: Dims = [call.fresh(size) for size in out[:ahead]]
    for units, before, after in zip(dims, shape, out[ahead:], strict=True):
        widened = before == 1 and after > 1
        tiled = None if units is None or before == 0 else np.tile(units, after // before)
        result.append(call.fresh(after) if widened else tiled)
    return result


@rule("repeat_interleave")
def repeat_interleave(call: Call) -> Result:
    """Repeat each label in place; without a dimension, or with a tensor of counts, it is not covered."""
    if call.get("dim") is None or not isinstance(call.get("repeats"), int):
        return None
    dims, dim = call.labels("self"), call.dim("self")
    units = dims[dim]
    dims[dim] = None if units is None else units.repeat(int(call["repeats"]))
    return dims


@rule("constant_pad_nd")
def constant_pad(call: Call) -> Result:
    """Padding inserts frozen positions; negative padding takes positions away."""
    dims, amounts = call.labels("self"), [int(each) for each in call["pad"]]
    for offset in range(len(amounts) // 2):
        before, after = amounts[2 * offset : 2 * offset + 2]
        index = len(dims) - 1 - offset
        units = dims[index]
        if units is not None and (before or after):
            dims[index] = _padded(call, units, before, after)
    return dims


def _padded(call: Call, units: Units, before: int, after: int) -> Units:
    cut = units[max(-before, 0) : units.size - max(-after, 0)]
    if before < 0 or after < 0:
        call.edges.freeze(units)
    return np.pad(cut, (max(before, 0), max(after, 0)), constant_values=FROZEN)


@rule("pad")
def pad(call: Call) -> Result:
    """Constant padding as above; other modes freeze the padded dimensions."""
    if call["mode"] == "constant":
        return constant_pad(call)
    dims, count = call.labels("self"), len(call["pad"]) // 2
    call.freeze(dims[len(dims) - count :])
    return [*dims[: len(dims) - count], *[None] * count]
