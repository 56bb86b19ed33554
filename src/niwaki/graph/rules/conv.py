"""Convolutions: input channels meet the weight's second dimension, output channels are its first."""

import numpy as np

from niwaki.graph.call import Call, Dims
from niwaki.graph.edges import Edges, Units
from niwaki.graph.rules.table import Result, rule

__all__ = ["conv", "conv_transpose", "convolution"]


@rule("conv1d", "conv2d", "conv3d")
def conv(call: Call) -> Result:
    """Carry labels through a convolution of any number of groups."""
    data, weight, channel = _parts(call)
    edges, groups = call.edges, int(call["groups"])
    call.produces("weight", 0)
    if groups == 1:
        edges.unify(data[channel], weight[1])
        return _result(call, data, channel, weight[0])
    if call.shape("weight")[1] == 1:
        return _result(call, data, channel, _depthwise(edges, data[channel], weight[0], groups))
    _every_group(edges, data[channel], weight[1], groups)
    _rows_alike(edges, weight[0], groups)
    return _result(call, data, channel, weight[0])


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(call: Call) -> Result:
    """The same with the weight's dimensions swapped: input channels are the first."""
    data, weight, channel = _parts(call)
    edges, groups = call.edges, int(call["groups"])
    joined = edges.unify(data[channel], weight[0])
    if groups == 1:
        call.produces("weight", 1)
        return _result(call, data, channel, weight[1])
    inputs, multiplier = call.shape("weight")[:2]
    if inputs == groups:
        call.produces("weight", 0)
        edges.freeze(weight[1])
        return _result(call, data, channel, None if joined is None else joined.repeat(multiplier))
    call.produces("weight", 1)
    _rows_alike(edges, joined, groups)
    return _result(call, data, channel, None if weight[1] is None else np.tile(weight[1], groups))


@rule("convolution", "_convolution")
def convolution(call: Call) -> Result:
    """Send the general form to the rule of its kind."""
    return conv_transpose(call) if call["transposed"] else conv(call)


def _parts(call: Call) -> tuple[Dims, Dims, int]:
    """Freeze kernel and spatial dimensions; return both labels and the data's channel dimension."""
    data, weight = call.labels("input"), call.labels("weight")
    channel = len(data) - len(weight) + 1
    call.freeze(weight[2:])
    call.freeze(data[channel + 1 :])
    return data, weight, channel


def _result(call: Call, data: Dims, channel: int, produced: Units | None) -> Dims:
    if call.has("bias"):
        produced = call.edges.unify(produced, call.labels("bias")[0])
    return [*data[:channel], produced, *[None] * (len(data) - channel - 1)]


def _depthwise(edges: Edges, data: Units | None, weight: Units | None, groups: int) -> Units | None:
    """One input channel a group: it goes together with all outputs of its group."""
    if weight is None:
        return None
    edges.unify(data, weight.reshape(groups, -1)[:, 0])
    edges.alike(weight.reshape(groups, -1).T)
    return weight


def _every_group(edges: Edges, data: Units | None, width: Units | None, groups: int) -> None:
    """Several input channels a group: every group keeps the same positions."""
    if data is None or width is None:
        edges.unify(data, width)
        return
    edges.join(data.reshape(groups, -1), width[None, :])


def _rows_alike(edges: Edges, units: Units | None, groups: int) -> None:
    if units is not None:
        edges.alike(units.reshape(groups, -1))
