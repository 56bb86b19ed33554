"""Pooling and resampling: leading dimensions pass, spatial ones freeze."""

from niwaki.graph.call import Call, Dims
from niwaki.graph.rules.table import Result, rule

__all__ = ["spatial", "unpool"]

SPATIAL = {
    1: ("max_pool1d", "max_pool1d_with_indices", "avg_pool1d", "adaptive_avg_pool1d", "adaptive_max_pool1d",
        "upsample_nearest1d", "_upsample_nearest_exact1d", "upsample_linear1d", "reflection_pad1d",
        "replication_pad1d"),
    2: ("max_pool2d", "max_pool2d_with_indices", "avg_pool2d", "adaptive_avg_pool2d", "_adaptive_avg_pool2d",
        "adaptive_max_pool2d", "fractional_max_pool2d", "upsample_nearest2d", "_upsample_nearest_exact2d",
        "upsample_bilinear2d", "_upsample_bilinear2d_aa", "upsample_bicubic2d", "_upsample_bicubic2d_aa",
        "reflection_pad2d", "replication_pad2d", "grid_sampler", "grid_sampler_2d"),
    3: ("max_pool3d", "max_pool3d_with_indices", "avg_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool3d",
        "fractional_max_pool3d", "upsample_nearest3d", "_upsample_nearest_exact3d", "upsample_trilinear3d",
        "reflection_pad3d", "replication_pad3d", "grid_sampler_3d"),
}  # fmt: skip


def spatial(call: Call, count: int) -> Dims | list[Dims]:
    """Freeze the trailing dimensions and everything but the first tensor, which is the data.

    Args:
        call: The node.
        count: How many trailing dimensions are spatial.

    Returns:
        Labels of the result; pool indices carry the same, so that an unpooling finds its channels.
    """
    dims = call.labels(call.main)
    call.freeze(dims[-count:])
    for node in call.tensors[1:]:
        call.freeze(call.labels(node))
    result: Dims = [*dims[:-count], *[None] * count]
    return [list(result) for _ in call.outs] if call.many else result


def _enter(count: int) -> None:
    def carry(call: Call) -> Result:
        if call.node.target.__name__.startswith("grid_sampler.") and len(call.out) == 5:  # type: ignore[union-attr]  # a rule sees operators only
            return spatial(call, 3)
        return spatial(call, count)

    rule(*SPATIAL[count])(carry)


for _count in SPATIAL:
    _enter(_count)


@rule("max_unpool2d", "max_unpool3d")
def unpool(call: Call) -> Result:
    """Join the data with the indices, which carry the channels of the pool they came from."""
    count = 3 if "3d" in str(call.node.target) else 2
    dims, indices = call.labels("self"), call.labels("indices")
    leading = [call.edges.unify(a, b) for a, b in zip(dims[:-count], indices[:-count], strict=True)]
    call.freeze([*dims[-count:], *indices[-count:]])
    return [*leading, *[None] * count]
