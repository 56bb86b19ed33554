"""Operators that move channels into space and back, or interleave them."""

from niwaki.graph.call import Call
from niwaki.graph.rules.table import Result, rule

__all__ = ["channel_shuffle", "col2im", "im2col", "pixel_shuffle", "pixel_unshuffle"]


@rule("pixel_shuffle")
def pixel_shuffle(call: Call) -> Result:
    """``C r r`` channels become C: the r*r that make one go together."""
    dims, factor = call.labels("self"), int(call["upscale_factor"])
    call.freeze(dims[-2:])
    units = dims[-3]
    made = None if units is None else call.edges.alike(units.reshape(-1, factor * factor).T)
    return [*dims[:-3], made, None, None]


@rule("pixel_unshuffle")
def pixel_unshuffle(call: Call) -> Result:
    """C channels become ``C r r``, each r*r times."""
    dims, factor = call.labels("self"), int(call["downscale_factor"])
    call.freeze(dims[-2:])
    units = dims[-3]
    return [*dims[:-3], None if units is None else units.repeat(factor * factor), None, None]


@rule("im2col")
def im2col(call: Call) -> Result:
    """Each channel becomes one position for each tap of the kernel."""
    dims = call.labels("self")
    call.freeze(dims[-2:])
    taps = call.out[-2] // call.shape("self")[-3]
    units = dims[-3]
    return [*dims[:-3], None if units is None else units.repeat(taps), None]


@rule("col2im")
def col2im(call: Call) -> Result:
    """The taps of one channel go together."""
    dims = call.labels("self")
    call.edges.freeze(dims[-1])
    units = dims[-2]
    made = None if units is None else call.edges.alike(units.reshape(call.out[-3], -1).T)
    return [*dims[:-2], made, None, None]


@rule("channel_shuffle", "native_channel_shuffle")
def channel_shuffle(call: Call) -> Result:
    """Interleave the groups; unless permutations are allowed, every group keeps the same positions."""
    dims, groups = call.labels("self"), int(call["groups"])
    units = dims[1]
    if units is not None:
        if call.permutations:
            call.shuffled = True
        else:
            call.edges.alike(units.reshape(groups, -1))
        dims[1] = units.reshape(groups, -1).T.reshape(-1)
    return dims
