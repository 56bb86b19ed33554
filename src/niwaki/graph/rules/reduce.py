"""Reductions drop a dimension; what is over it is taken over the positions that stay."""

from niwaki.graph.call import Call, Dims
from niwaki.graph.rules.elementwise import elementwise
from niwaki.graph.rules.table import Result, rule

__all__ = ["positions", "reduction", "running"]


def _reduced(call: Call) -> set[int]:
    """Return the dimensions a reduction runs over; all of them where none is named, none of a number."""
    rank = len(call.shape(call.main))
    dim = call.get("dim", call.get("axis"))
    if dim is None or dim == [] or not rank:
        return set(range(rank))
    named = dim if isinstance(dim, list | tuple) else [dim]
    return {int(each) % rank for each in named}


def _dropped(call: Call, dims: Dims) -> Dims:
    gone = _reduced(call)
    if call.get("keepdim", default=False):
        return [None if index in gone else units for index, units in enumerate(dims)]
    return [units for index, units in enumerate(dims) if index not in gone]


@rule(
    "sum", "mean", "amax", "amin", "var", "std", "prod", "norm", "logsumexp", "linalg_vector_norm", "nansum", "nanmean",
    "all", "any", "count_nonzero", "std_mean", "var_mean",
)  # fmt: skip
def reduction(call: Call) -> Result:
    """Drop the reduced dimensions without a demand."""
    dims = call.labels(call.main)
    return [_dropped(call, dims) for _ in call.outs] if call.many else _dropped(call, dims)


@rule("max", "min", "argmax", "argmin", "median", "mode", "kthvalue", "topk", "sort", "argsort", "cummax", "cummin")
def positions(call: Call) -> Result:
    """Freeze the dimension searched, since a result numbers its positions; the others pass."""
    if len(call.tensors) > 1:
        return _pairwise(call)
    dims = call.labels(call.main)
    call.freeze(dims[index] for index in _reduced(call))
    ranks = [len(out) for out in call.outs] if call.many else [len(call.out)]
    if ranks[0] == len(dims):
        result = [None if index in _reduced(call) else units for index, units in enumerate(dims)]
    else:
        result = _dropped(call, dims)
    return [list(result) for _ in ranks] if call.many else result


def _pairwise(call: Call) -> Result:
    """``max(x, y)`` of two tensors is elementwise."""
    return elementwise(call)


@rule("cumsum", "cumprod", "logcumsumexp", "roll")
def running(call: Call) -> Result:
    """Freeze the dimensions along which positions depend on their order."""
    dims = call.labels(call.main)
    if not dims:
        return dims
    named = call.get("dims", call.get("dim"))
    chosen = named if isinstance(named, list | tuple) else [named]
    along = {int(each) % len(dims) for each in chosen} if list(chosen) else set(range(len(dims)))
    call.freeze(dims[index] for index in along)
    return [None if index in along else units for index, units in enumerate(dims)]
