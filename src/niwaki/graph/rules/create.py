"""New tensors: their sizes are decided by who consumes them, their values sometimes by position."""

from niwaki.graph.call import Call
from niwaki.graph.rules.table import Result, rule

__all__ = ["constant_values", "expand", "values_by_position"]


@rule("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty")
def constant_values(call: Call) -> Result:
    """Every position is like any other: fresh units."""
    return [call.fresh(size) for size in call.out]


@rule(
    "arange", "linspace", "logspace", "eye", "rand", "randn", "randint", "randperm", "scalar_tensor", "empty_strided",
    "_assert_tensor_metadata", "one_hot",
)  # fmt: skip
def values_by_position(call: Call) -> Result:
    """Frozen: removing a position would change the values of others."""
    call.freeze_inputs()
    return [None] * len(call.out)


@rule("expand", "expand_as", "broadcast_to", "broadcast_tensors")
def expand(call: Call) -> Result:
    """New and widened dimensions get fresh units, the others pass."""
    if call.many:
        return None
    dims, shape, out = call.labels(call.main), call.shape(call.main), call.out
    ahead = len(out) - len(shape)
    kept = [
        units if before == after else call.fresh(after)
        for units, before, after in zip(dims, shape, out[ahead:], strict=True)
    ]
    return [*(call.fresh(size) for size in out[:ahead]), *kept]
