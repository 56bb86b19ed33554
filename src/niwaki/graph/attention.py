"""Attention heads: which reshapes split channels into heads."""

import torch
from torch import fx

from niwaki.graph.call import operator_name, shape_of

__all__ = ["splits_heads"]

_MIXES = frozenset({"scaled_dot_product_attention", "matmul", "bmm", "baddbmm", "einsum"})
"""Operators that compare queries with keys."""

_ENDS = frozenset({"linear", "addmm", "mm", "convolution", "conv1d", "conv2d", "conv3d", "embedding"})
"""Operators behind which channels are others."""


def splits_heads(node: fx.Node, width: int) -> bool:
    """Tell whether a reshape makes heads: its result reaches the product of queries and keys with a head's width.

    Args:
        node: The reshape.
        width: The size that would be the width of a head.

    Examples:
        >>> graph = fx.Graph()
        >>> x = graph.placeholder("x")
        >>> split = graph.call_function(torch.ops.aten.view.default, (x, [1, 5, 4, 8]))
        >>> heads = graph.call_function(torch.ops.aten.transpose.int, (split, 1, 2))
        >>> product = graph.call_function(torch.ops.aten.scaled_dot_product_attention.default, (heads,) * 3)
        >>> for each, shape in ((split, (1, 5, 4, 8)), (heads, (1, 4, 5, 8)), (product, (1, 4, 5, 8))):
        ...     each.meta["val"] = torch.empty(shape)
        >>> splits_heads(split, 8), splits_heads(split, 4)
        (True, False)
    """
    seen, todo = {node}, [node]
    while todo:
        each = todo.pop()
        for user in each.users:
            name = operator_name(user) if user.op == "call_function" else "output"
            if name in _MIXES and isinstance(each.meta.get("val"), torch.Tensor) and width in shape_of(each)[-2:]:
                return True
            if user not in seen and name not in _MIXES | _ENDS and name != "output":
                seen.add(user)
                todo.append(user)
    return False
