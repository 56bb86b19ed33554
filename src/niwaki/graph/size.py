"""The size of a model after a cut, from the labels alone: as exact as measuring it, and much faster."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import fx

from niwaki.graph.call import arguments_of, operands_of, operator_name, shape_of
from niwaki.graph.channels import Channels
from niwaki.graph.classes import Classes, State
from niwaki.graph.drawn import Drawn, drawn_from_banks, drawn_outputs
from niwaki.graph.macs import node_macs

__all__ = ["planned_size"]

Sides = list[tuple[fx.Node, int]]
Products = list[tuple[int, Sides]]


@dataclass(eq=False)
class _Terms:
    """Products ``coefficient * kept(a) * kept(b) * …`` over classes or what is drawn; their sum is a size."""

    arrays: dict[int, tuple[int, Classes | Drawn]] = field(default_factory=dict)
    coefficients: list[int] = field(default_factory=list)
    factors: list[list[int]] = field(default_factory=list)

    def add(self, total: int, sides: Sequence[Classes | Drawn | None]) -> None:
        labelled = [side for side in sides if side is not None]
        self.factors.append([self.arrays.setdefault(id(side), (len(self.arrays), side))[0] for side in labelled])
        whole = prod(side.size for side in labelled)
        assert total % whole == 0
        self.coefficients.append(total // whole)

    def value(self, kept: NDArray[np.bool_]) -> int:
        sizes = [_count(side, kept) for _, side in self.arrays.values()]
        terms = zip(self.coefficients, self.factors, strict=True)
        return sum(coefficient * prod(sizes[factor] for factor in factors) for coefficient, factors in terms)


def planned_size(channels: Channels, keep: NDArray[np.bool_]) -> tuple[int, int]:
    """Return parameters and multiply-accumulates of a model that keeps some of its channels.

    Args:
        channels: The channels of the model.
        keep: By class id, whether the class stays. Classes that can't be removed stay anyway.

    Returns:
        Parameters, and MACs summed over the examples in eval mode: what `niwaki.measure` finds after the cut.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import find_channels, trace
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2))
        >>> channels = find_channels(trace(model, torch.zeros(1, 3)))
        >>> keep = np.ones(channels.count, dtype=bool)
        >>> planned_size(channels, keep)
        (50, 40)
        >>> keep[channels.groups[0].classes[:4]] = False
        >>> planned_size(channels, keep)
        (26, 20)
    """
    if "size" not in channels.memo:
        channels.memo["size"] = (_parameter_terms(channels), _mac_terms(channels))
    parameters, macs = channels.memo["size"]
    kept = keep | ~channels.removable
    return parameters.value(kept), macs.value(kept)


def _count(side: Classes | Drawn, kept: NDArray[np.bool_]) -> int:
    return side.count(kept) if isinstance(side, Drawn) else int(kept[side].sum())


def _parameter_terms(channels: Channels) -> _Terms:
    terms = _Terms()
    banks = drawn_from_banks(channels)
    for name in sorted(channels.traced.parameters):
        terms.add(prod(channels.traced.shapes[name]), banks.get(name) or channels.tensors[name])
    return terms


def _mac_terms(channels: Channels) -> _Terms:
    terms = _Terms()
    values = dict(zip(channels.traced.programs, channels.values, strict=True))
    for program in channels.traced.eval_programs:
        states, gathered = values[program], drawn_outputs(channels, program)
        for name, macs in node_macs(program).items():
            node = program.node(name)
            for total, sides in PRODUCTS.get(operator_name(node), _fixed)(node, macs):
                labels: list[Classes | Drawn | None] = [_classes(states[each.name], dim) for each, dim in sides]
                terms.add(total, [gathered[node], *labels[1:]] if node in gathered else labels)
    return terms


def _classes(state: State, dim: int) -> Classes | None:
    assert isinstance(state, tuple)
    return state[dim]


def _fixed(_node: fx.Node, macs: int) -> Products:
    return [(macs, [])]


def _convolution(node: fx.Node, macs: int) -> Products:
    weight = arguments_of(node)["weight"]
    return [(macs, [(weight, 0), (weight, 1)])]


def _linear(node: fx.Node, macs: int) -> Products:
    return [(macs, [*_all_dims(node), (arguments_of(node)["weight"], -1)])]


def _matmul(node: fx.Node, macs: int) -> Products:
    return [(macs, [*_all_dims(node), (operands_of(node)[0], -1)])]


def _matmul_added(node: fx.Node, macs: int) -> Products:
    return [(macs, [*_all_dims(node), (operands_of(node)[1], -1)])]


def _einsum(node: fx.Node, macs: int) -> Products:
    arguments = arguments_of(node)
    terms = str(arguments["equation"]).replace(" ", "").partition("->")[0].split(",")
    if len(terms) != 2:
        return _fixed(node, macs)
    sides: dict[str, tuple[fx.Node, int]] = {}
    for term, tensor in zip(terms, arguments["tensors"], strict=True):
        for dim, letter in enumerate(term):
            if shape_of(tensor)[dim] > 1:
                sides.setdefault(letter, (tensor, dim))
    return [(macs, list(sides.values()))]


def _attention(node: fx.Node, macs: int) -> Products:
    arguments = arguments_of(node)
    query, key, value = (arguments[name] for name in ("query", "key", "value"))
    width, made = shape_of(query)[-1], shape_of(value)[-1]
    if macs % (width + made):
        return _fixed(node, macs)
    each = macs // (width + made)
    shared: Sides = [*((node, dim) for dim in range(len(shape_of(node)) - 1)), (key, -2)]
    return [(each * width, [*shared, (query, -1)]), (each * made, [*shared, (value, -1)])]


def _all_dims(node: fx.Node) -> Sides:
    return [(node, dim) for dim in range(len(shape_of(node)))]


PRODUCTS: dict[str, Callable[[fx.Node, int], Products]] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution),
    **dict.fromkeys(("matmul", "mm", "bmm"), _matmul),
    **dict.fromkeys(("addmm", "baddbmm"), _matmul_added),
    "linear": _linear,
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
}
