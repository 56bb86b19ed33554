"""Views: dimensions are split and merged, labels follow."""

from niwaki.graph.attention import splits_heads
from niwaki.graph.call import Call
from niwaki.graph.rules.table import Result, rule
from niwaki.graph.segments import reshape_labels

__all__ = ["VIEWS", "view"]

VIEWS = (
    "view", "reshape", "_unsafe_view", "_reshape_alias", "flatten", "unflatten", "squeeze", "unsqueeze", "reshape_as",
    "view_as", "ravel", "atleast_2d", "atleast_3d",
)  # fmt: skip


@rule(*VIEWS)
def view(call: Call) -> Result:
    """Carry labels from the input's shape to the result's; another type, or several results, are not covered."""
    if call.many:
        return None
    shape, out = call.shape(call.main), call.out
    if call.main.meta["val"].dtype != call.node.meta["val"].dtype:
        return None
    return reshape_labels(call.edges, call.labels(call.main), shape, out, whole=lambda width: _is_head(call, width))


def _is_head(call: Call, width: int) -> bool:
    return call.attention == "heads" and splits_heads(call.node, width)
