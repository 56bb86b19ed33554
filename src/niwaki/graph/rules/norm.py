"""Normalisations: channels meet the affine parameters and the running statistics."""

from niwaki.graph.call import Call
from niwaki.graph.edges import Units
from niwaki.graph.rules.table import Result, rule

__all__ = ["batch_norm", "group_norm", "layer_norm", "weight_norm"]


def _with(call: Call, units: Units | None, *names: str) -> Units | None:
    for name in names:
        if call.has(name):
            units = call.edges.unify(units, call.labels(name)[0])
    return units


@rule("batch_norm", "instance_norm")
def batch_norm(call: Call) -> Result:
    """One scale, shift, mean and variance for each channel; without channels it is not covered."""
    dims = call.labels("input")
    if len(dims) < 2:
        return None
    dims[1] = _with(call, dims[1], "weight", "bias", "running_mean", "running_var")
    return dims


@rule("group_norm")
def group_norm(call: Call) -> Result:
    """Every group of channels keeps the same positions; groups of one channel go singly."""
    dims, groups = call.labels("input"), int(call["num_groups"])
    dims[1] = _with(call, dims[1], "weight", "bias")
    if dims[1] is not None and dims[1].size != groups:
        call.edges.alike(dims[1].reshape(groups, -1))
    return dims


@rule("layer_norm", "rms_norm")
def layer_norm(call: Call) -> Result:
    """The normalised dimensions are the last ones, and those of the affine parameters."""
    dims = call.labels("input")
    first = len(dims) - len(call["normalized_shape"])
    for name in ("weight", "bias"):
        if name in call.arguments and call.has(name):
            for offset, units in enumerate(call.labels(name)):
                dims[first + offset] = call.edges.unify(dims[first + offset], units)
    return dims


@rule("_weight_norm")
def weight_norm(call: Call) -> Result:
    """A direction and one length for each position of a dimension."""
    dims, dim = call.labels("v"), int(call["dim"])
    dims[dim] = call.edges.unify(dims[dim], call.labels("g")[dim])
    return dims
