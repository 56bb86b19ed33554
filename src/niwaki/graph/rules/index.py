"""Look-ups: the dimension indexed is frozen, the others pass."""

from torch import Tensor, fx

from niwaki.graph.call import Call
from niwaki.graph.edges import Units
from niwaki.graph.rules.table import Result, rule

__all__ = ["embedding", "gather", "index", "index_select"]


@rule("index_select")
def index_select(call: Call) -> Result:
    """Freeze the dimension selected from: the index counts its positions, and its own positions take their place."""
    dims = call.labels("self")
    if not dims:
        return None
    dim = call.dim("self")
    call.edges.freeze(dims[dim])
    dims[dim] = _positions(call, call["index"])
    return dims


@rule("gather")
def gather(call: Call) -> Result:
    """Freeze everything: the index is as wide as the result in every dimension."""
    call.freeze_inputs()
    return [None] * len(call.out)


@rule("index")
def index(call: Call) -> Result:
    """Freeze the one dimension that is indexed; several at once are not covered."""
    given = [(at, each) for at, each in enumerate(call["indices"]) if isinstance(each, fx.Node)]
    dims = call.labels("self")
    if len(given) != 1:
        return None
    at, node = given[0]
    value = node.meta["val"]
    if not isinstance(value, Tensor) or value.is_floating_point() or value.dtype.itemsize == 1:
        return None
    call.edges.freeze(dims[at])
    if value.ndim == 1:
        return [*dims[:at], _positions(call, node), *dims[at + 1 :]]
    call.freeze(call.labels(node))
    return [*dims[:at], *[None] * value.ndim, *dims[at + 1 :]]


@rule("embedding")
def embedding(call: Call) -> Result:
    """Rows are looked up by number, columns are channels."""
    weight = call.labels("weight")
    call.produces("weight", 1)
    call.edges.freeze(weight[0])
    call.freeze(call.labels("indices"))
    return [*[None] * len(call.shape("indices")), weight[1]]


def _positions(call: Call, index: fx.Node) -> Units | None:
    """Return the labels of an index that is a buffer of the model: without a position it selects one thing less."""
    labels = call.labels(index)
    return labels[0] if len(labels) == 1 else None
