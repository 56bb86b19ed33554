"""How much memory objects hold in tensors, wherever they keep them."""

import gc
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor

__all__ = ["storages"]


def storages(*roots: Any) -> dict[int, int]:
    """Find the memory of every tensor that can be reached from some objects, gradients with their weights.

    Args:
        roots: Any objects. What only their classes, modules or weak references lead to does not count.

    Returns:
        Address to bytes, so that memory which tensors share counts once.

    Examples:
        >>> import torch
        >>> net = torch.nn.Linear(3, 1)
        >>> sum(storages(net).values()), storages({"a view": net.weight[0, :2]}).keys() <= storages(net).keys()
        (16, True)
    """
    found: dict[int, int] = {}
    seen: dict[int, Any] = {}
    left = list(roots)
    while left:
        each = left.pop()
        if id(each) in seen or isinstance(each, type | ModuleType):
            continue
        seen[id(each)] = each
        if isinstance(each, Tensor):
            memory = each.untyped_storage()
            found[memory.data_ptr()] = memory.nbytes()
            left.append(each.grad if each.is_leaf else None)
        left += (each.__closure__ or ()) if isinstance(each, FunctionType) else gc.get_referents(each)
    return found
