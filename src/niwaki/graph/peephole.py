"""A view, a permutation and a view back: what permutes the positions of one dimension is an index by a constant."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import fx

from niwaki.graph.call import operator_name, shape_of
from niwaki.graph.rules.arrange import permutation_of
from niwaki.graph.rules.view import VIEWS
from niwaki.graph.segments import segments

__all__ = ["Shuffle", "find_shuffles"]

PERMUTING = frozenset({"permute", "transpose", "swapaxes", "swapdims", "movedim"})
COPYING = frozenset({"clone", "contiguous"})


@dataclass(frozen=True, eq=False)
class Shuffle:
    """A chain of views that permutes one dimension.

    Attributes:
        source: The node whose channels are permuted.
        middle: The nodes between, whose labels nobody needs.
        last: The node that ends the chain, of the source's shape.
        dim: The dimension.
        order: Position j of the result is position ``order[j]`` of the source.
    """

    source: fx.Node
    middle: tuple[fx.Node, ...]
    last: fx.Node
    dim: int
    order: NDArray[np.int64]


def find_shuffles(graph: fx.Graph) -> list[Shuffle]:
    """Find every such chain of a graph.

    Args:
        graph: Nodes of an exported program.

    Returns:
        The chains, in order; views that only merge or split are not among them.
    """
    views = [node for node in graph.nodes if node.op == "call_function" and operator_name(node) in VIEWS]
    return [found for node in views if (found := _shuffle_at(node)) is not None]


def _shuffle_at(first: fx.Node) -> Shuffle | None:
    chain = _chain(first)
    source = first.args[0]
    if len(chain) < 3 or not isinstance(source, fx.Node) or shape_of(chain[-1]) != shape_of(source):
        return None
    split = _split_dim(shape_of(source), shape_of(first))
    if split is None:
        return None
    dim, parts = split
    order = _permutation(chain[1:-1], len(shape_of(first)))
    start, sizes = parts[0], [shape_of(first)[i] for i in parts]
    inner = order[start : start + len(parts)]
    outside = [*order[:start], *order[start + len(parts) :]]
    if sorted(inner) != parts or outside != sorted(outside):
        return None
    positions = np.arange(shape_of(source)[dim]).reshape(sizes).transpose([i - start for i in inner]).reshape(-1)
    if (positions == np.arange(positions.size)).all():
        return None
    return Shuffle(source, tuple(chain[:-1]), chain[-1], dim, positions)


def _chain(first: fx.Node) -> list[fx.Node]:
    """Follow single users through permutations and copies to the next view."""
    chain = [first]
    while len(chain[-1].users) == 1:
        node = next(iter(chain[-1].users))
        name = operator_name(node) if node.op == "call_function" else ""
        if name in VIEWS and len(chain) > 1:
            return [*chain, node]
        if name not in PERMUTING and name not in COPYING:
            break
        chain.append(node)
    return [first]


def _split_dim(before: tuple[int, ...], after: tuple[int, ...]) -> tuple[int, list[int]] | None:
    """Return the one dimension a view splits, and the adjacent dimensions it becomes."""
    if 0 in before:
        return None
    several = [(left, right) for left, right in segments(before, after) if len(left) > 1 or len(right) > 1]
    if len(several) != 1 or len(several[0][0]) != 1:
        return None
    left, right = several[0]
    return (left[0], right) if right == list(range(right[0], right[-1] + 1)) else None


def _permutation(nodes: list[fx.Node], rank: int) -> list[int]:
    order = list(range(rank))
    for node in nodes:
        if operator_name(node) in PERMUTING:
            step = permutation_of(node.target, rank, node.args[1:], dict(node.kwargs))
            order = [order[index] for index in step]
    return order
