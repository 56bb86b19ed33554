"""Whether a program chooses: operators whose answer jumps when two values nearly tie."""

from typing import Any

__all__ = ["chooses"]

_CHOOSING = frozenset(
    (
        *("argmax", "argmin", "argsort", "sort", "topk", "kthvalue", "median", "mode", "nonzero"),
        *("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices", "fractional_max_pool2d"),
        *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d", "max_unpool2d", "max_unpool3d"),
        *("gt", "lt", "ge", "le", "eq", "ne", "round", "floor", "ceil", "trunc", "sign", "searchsorted", "bucketize"),
    )
)


def chooses(program: Any) -> bool:
    """Return whether a captured program holds an operator whose answer jumps.

    Args:
        program: A `torch.export.ExportedProgram`.

    Examples:
        >>> import torch
        >>> chooses(torch.export.export(torch.nn.ReLU(), (torch.rand(2),)))
        False
    """
    packets = (getattr(node.target, "overloadpacket", None) for node in program.graph.nodes)
    names = {str(each).rpartition(".")[2] for each in packets if each is not None}
    pairs = {str(node.target) for node in program.graph.nodes} & {"aten.max.dim", "aten.min.dim"}
    return bool(names & _CHOOSING or pairs)
