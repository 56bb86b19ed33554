"""What a node's size arguments must become after a cut: the numbers that Python code hands to an operator."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, fx

from niwaki.graph import State, integers, operator_name
from niwaki.surgery.kept import Kept, Mask, labels_of

__all__ = ["NEVER", "SizeArgument", "renewed_arguments", "size_arguments"]

_END = 2**62  # slices to the end carry a number near the largest integer


@dataclass(frozen=True)
class SizeArgument:
    """One integer argument of a node.

    Attributes:
        old: Its value.
        new: What it must be after the cut; None when no number would do.
    """

    old: int
    new: int | None


@dataclass(frozen=True)
class _Node:
    """A node with what stays of the tensors it reads and returns."""

    node: fx.Node
    states: Mapping[str, State]
    removed: Mask

    @property
    def args(self) -> list[Any]:
        return list(self.node.args)

    @property
    def source(self) -> Kept:
        return self.kept(self.node.args[0])

    def kept(self, argument: Any) -> Kept:
        value = argument.meta.get("val") if isinstance(argument, fx.Node) else None
        rank = value.ndim if isinstance(value, Tensor) else 0
        return Kept(labels_of(self.states.get(getattr(argument, "name", "")), rank), self.removed)

    def parts(self) -> list[tuple[Kept, tuple[int, ...]]]:
        """Return what stays of each tensor that a split returns, with its shape."""
        state, values = self.states.get(self.node.name), self.node.meta["val"]
        if not isinstance(state, list):
            return []
        return [(Kept(each, self.removed), tuple(value.shape)) for each, value in zip(state, values, strict=True)]


def size_arguments(node: fx.Node, states: Mapping[str, State], removed: Mask) -> list[SizeArgument]:
    """Return the integer arguments of a node, and what each must become.

    Args:
        node: A node of an exported program.
        states: The labels of the program's values.
        removed: By class id, whether the class goes.

    Returns:
        One entry for each integer argument, in order; empty for operators without size arguments.
    """
    renewed = renewed_arguments(node, states, removed)
    if renewed is None:
        return []
    new = _marked(renewed)
    return [SizeArgument(old, value) for old, value in zip(_marked(node.args), new, strict=True) if old is not None]


def renewed_arguments(node: fx.Node, states: Mapping[str, State], removed: Mask) -> tuple[Any, ...] | None:
    """Return the positional arguments that a node must have after a cut.

    Args:
        node: A node of an exported program.
        states: The labels of the program's values.
        removed: By class id, whether the class goes.

    Returns:
        The arguments, with `NEVER` for an integer that no single number can replace; None for operators without size
        arguments.
    """
    rule = _RULES.get(operator_name(node)) if hasattr(node.target, "_schema") else None
    if rule is None:
        return None
    renewed = rule(_Node(node, states, removed))
    return (*renewed, *node.args[len(renewed) :])


class _Never(int):
    """Stands for a size that no single number can be."""


NEVER = _Never(-(2**60))
"""What `renewed_arguments` puts where no single number would do."""


def _marked(value: Any) -> list[Any]:
    return [None if number is NEVER else number for number in integers(value)]


def _size(old: Any, kept: Kept, dim: int) -> Any:
    """Renew a number that is the size of a dimension; -1 and run-time sizes stay."""
    if not isinstance(old, int) or old < 0 or not kept.touched([dim]):
        return old
    return int(kept.stays(dim).sum())


def _shape(call: _Node) -> list[Any]:
    """Renew ``view(x, sizes)``, ``expand(x, sizes)``: the sizes of what is returned."""
    out = call.kept(call.node)
    return [call.args[0], _sizes(call.args[1], out)]


def _creation(call: _Node) -> list[Any]:
    """Renew ``zeros(sizes)``."""
    return [_sizes(call.args[0], call.kept(call.node))]


def _sizes(old: Any, out: Kept, first: int = 0) -> Any:
    if len(old) + first > len(out.labels):
        return old
    return [_size(each, out, first + dim) for dim, each in enumerate(old)]


def _unflatten(call: _Node) -> list[Any]:
    x, dim, sizes = call.args[:3]
    first = int(dim) % len(call.source.labels) if call.source.labels else 0
    return [x, dim, _sizes(sizes, call.kept(call.node), first)]


def _repeat(call: _Node) -> list[Any]:
    x, repeats = call.args[:2]
    out, source = call.kept(call.node), call.source
    ahead = len(out.labels) - len(source.labels)
    renewed = []
    for dim, old in enumerate(repeats):
        if not out.touched([dim]):
            renewed.append(old)
            continue
        inner = dim - ahead
        within = _count(source, inner, x.meta["val"].shape) if inner >= 0 else 1
        whole = int(out.stays(dim).sum())
        renewed.append(whole // within if within and whole % within == 0 else NEVER)
    return [x, renewed]


def _count(kept: Kept, dim: int, shape: Sequence[int]) -> int:
    return int(kept.stays(dim).sum()) if kept.touched([dim]) else int(shape[dim])


def _before(kept: Kept, dim: int, index: Any) -> Any:
    """Renew an index or bound: the number of kept positions before it, or behind it when it counts from the end."""
    if not isinstance(index, int) or not kept.touched([dim]) or index >= _END:
        return index
    stays = kept.stays(dim)
    if index < 0:
        return -int(stays[index:].sum()) or (-len(stays) if index <= -len(stays) else NEVER)
    return int(stays[:index].sum()) if index < len(stays) else index - len(stays) + int(stays.sum())


def _slice(call: _Node) -> list[Any]:
    defaults: list[Any] = [0, None, None, 1]
    x, dim, start, end, step = call.args + defaults[len(call.args) - 1 :]
    kept = call.source
    if not kept.labels or not kept.touched([int(dim)]):
        return call.args
    axis = int(dim) % len(kept.labels)
    bounds = [_before(kept, axis, start), _before(kept, axis, end)]
    if isinstance(step, int) and step > 1:
        bounds = [NEVER if isinstance(bound, int) else bound for bound in (start, end)]
    return [x, dim, *bounds, step][: len(call.args)]


def _select(call: _Node) -> list[Any]:
    x, dim, index = call.args[:3]
    kept = call.source
    return [x, dim, _before(kept, int(dim) % len(kept.labels), index)] if kept.labels else [x, dim, index]


def _narrow(call: _Node) -> list[Any]:
    x, dim, start, length = call.args[:4]
    kept = call.source
    if not (kept.labels and isinstance(start, int) and isinstance(length, int)):
        return [x, dim, start, length]
    axis = int(dim) % len(kept.labels)
    first = _before(kept, axis, start)
    return [x, dim, first, _before(kept, axis, start + length) - first]


def _split(call: _Node) -> list[Any]:
    """Renew ``split(x, size or sizes, dim)`` from what stays of each piece."""
    x, size = call.args[:2]
    dim = call.args[2] if len(call.args) > 2 else call.node.kwargs.get("dim", 0)
    parts = call.parts()
    if not isinstance(dim, int) or not any(part.touched([dim]) for part, _ in parts):
        return list(call.args[:2])
    counts = [_count(part, dim % len(shape), shape) for part, shape in parts]
    if isinstance(size, list | tuple):
        return [x, counts]
    alike = len(set(counts[:-1])) <= 1 and counts[-1] <= counts[0]
    return [x, counts[0] if alike else NEVER]


def _layer_norm(call: _Node) -> list[Any]:
    x, shape = call.args[:2]
    out = call.kept(call.node)
    rank = len(shape)
    return [x, _sizes(shape, out, len(out.labels) - rank)] if len(out.labels) >= rank else [x, shape]


def _group_norm(call: _Node) -> list[Any]:
    x, groups = call.args[:2]
    kept = call.source
    if len(kept.labels) < 2 or not kept.touched([1]) or groups != len(kept.stays(1)):
        return [x, groups]
    return [x, int(kept.stays(1).sum())]


def _conv(call: _Node) -> list[Any]:
    """Renew the groups of a depthwise convolution, which go one by one."""
    args = call.args
    kept = call.source
    if len(args) > _GROUPS and len(kept.labels) > 1 and kept.touched([1]) and args[_GROUPS] == len(kept.stays(1)):
        args[_GROUPS] = int(kept.stays(1).sum())
    return args


_GROUPS = 6
"""Place of the groups among the arguments of every convolution."""

_RULES: dict[str, Callable[[_Node], list[Any]]] = {
    **dict.fromkeys(("view", "reshape", "_unsafe_view", "expand", "broadcast_to", "new_zeros", "new_ones"), _shape),
    **dict.fromkeys(("new_full", "new_empty"), _shape),
    **dict.fromkeys(("zeros", "ones", "full", "empty", "rand", "randn"), _creation),
    **dict.fromkeys(("split", "split_with_sizes"), _split),
    **dict.fromkeys(("layer_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys([f"conv{n}d" for n in (1, 2, 3)] + [f"conv_transpose{n}d" for n in (1, 2, 3)], _conv),
    "unflatten": _unflatten,
    "repeat": _repeat,
    "slice": _slice,
    "select": _select,
    "narrow": _narrow,
    "group_norm": _group_norm,
}
