"""Layers with weights at the sizes after a cut, as plain values: what a table of timings is asked for."""

from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import fx

from niwaki.graph.call import arguments_of, operator_name, shape_of
from niwaki.graph.channels import Channels
from niwaki.graph.classes import State

__all__ = ["Layer", "planned_layers"]

_OPTIONS = ("stride", "padding", "output_padding", "dilation")


class Layer(NamedTuple):
    """A convolution or linear layer.

    Attributes:
        operator: Name of its ATen operator, such as ``conv2d``.
        input: Shape of what it reads.
        weight: Shape of its weight.
        bias: Whether it has one.
        groups: Groups of a convolution.
        options: Stride, padding and dilation of a convolution, by torch's names.
    """

    operator: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    bias: bool
    groups: int = 1
    options: tuple[tuple[str, Any], ...] = ()

    @property
    def work(self) -> int:
        """A number in proportion to its multiply-accumulates as its width changes: its weights."""
        return prod(self.weight)


def planned_layers(channels: Channels, keep: NDArray[np.bool_]) -> list[Layer]:
    """Return the convolutions and linear layers of a model that keeps some of its channels.

    Args:
        channels: The channels of the model.
        keep: By class id, whether the class stays. Classes that can't be removed stay anyway.

    Returns:
        One layer for each call in each evaluation program, in their order.

    Examples:
        >>> import torch
        >>> from torch import nn
        >>> from niwaki.graph import find_channels, trace
        >>> model = nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 2))
        >>> channels = find_channels(trace(model, torch.zeros(1, 3)))
        >>> keep = np.ones(channels.count, dtype=bool)
        >>> keep[channels.groups[0].classes[:4]] = False
        >>> [(layer.input, layer.weight) for layer in planned_layers(channels, keep)]
        [((1, 3), (4, 3)), ((1, 4), (2, 4))]
    """
    kept = keep | ~channels.removable
    states = dict(zip(channels.traced.programs, channels.values, strict=True))
    return [
        _layer(node, states[program], kept)
        for program in channels.traced.eval_programs
        for node in program
        if node.op == "call_function" and _has_weight(node)
    ]


def _has_weight(node: fx.Node) -> bool:
    name = operator_name(node)
    return name == "linear" or (name.startswith("conv") and name[-1] == "d")


def _layer(node: fx.Node, states: dict[str, State], kept: NDArray[np.bool_]) -> Layer:
    told = arguments_of(node)
    data, weight = (_shape(told[name], states, kept) for name in ("input", "weight"))
    groups = int(told.get("groups", 1))
    if groups > 1 and "transpose" not in operator_name(node):
        groups = data[-len(weight) + 1] // weight[1]
    elif groups == shape_of(told["weight"])[0]:
        groups = weight[0]
    options = tuple((name, _plain(told[name])) for name in _OPTIONS if name in told)
    return Layer(operator_name(node), data, weight, told.get("bias") is not None, groups, options)


def _shape(node: fx.Node, states: dict[str, State], kept: NDArray[np.bool_]) -> tuple[int, ...]:
    shape, state = shape_of(node), states.get(node.name)
    if not isinstance(state, tuple):
        return shape
    pairs = zip(shape, state, strict=True)
    return tuple(size if classes is None else int(kept[classes].sum()) for size, classes in pairs)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else tuple(int(each) for each in value)
