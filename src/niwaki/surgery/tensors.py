"""Cutting tensors: the kept positions of a parameter or buffer, taken in place so that whatever is tied stays tied."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.errors import SurgeryError
from niwaki.records import Plan as PlanRecord
from niwaki.surgery.wrappers import plain_name

__all__ = ["Places", "Positions", "aliases", "cut_tensors", "kept_along", "named_tensors", "removed_by", "take"]

Places = Sequence[int] | NDArray[np.intp]
"""Positions along one dimension, increasing."""

Positions = dict[str, dict[int, Places]]
"""Tensor to dimension to the positions that go."""

_PIECE = 1 << 20
"""Numbers that are cut at a time, so that no copy of half of a large tensor lies between it and what stays."""


def named_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Return every parameter and buffer of a model under each of its names.

    Args:
        model: A plain module.

    Returns:
        Name to tensor; tied tensors appear under all their names.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(model.named_buffers(remove_duplicate=False))}


def removed_by(plan: PlanRecord) -> Positions:
    """Return what a plan removes, tensor by tensor.

    Args:
        plan: Any plan.

    Returns:
        The positions that go, of every tensor that loses some.
    """
    found: Positions = {}
    for (name, dim), positions in plan.removed_positions().items():
        if positions:
            found.setdefault(plain_name(name), {})[dim] = np.asarray(positions)
    return found


def kept_along(size: int, removed: Iterable[int]) -> list[int]:
    """Return the positions of a dimension that stay.

    Args:
        size: The dimension's size.
        removed: Positions that go.

    Returns:
        The others, increasing.

    Examples:
        >>> kept_along(5, [0, 3])
        [1, 2, 4]
    """
    found: list[int] = _kept(size, list(removed)).tolist()
    return found


def take(tensor: Tensor, removed: Mapping[int, Places]) -> Tensor:
    """Return a copy of a tensor without some positions, in the memory format it had.

    Args:
        tensor: Any dense tensor.
        removed: Dimension to the positions that go.

    Returns:
        The rest, bit for bit; same type and device.

    Examples:
        >>> take(torch.arange(6).reshape(2, 3), {1: [1]})
        tensor([[0, 2],
                [3, 5]])
    """
    kept = {dim: torch.from_numpy(_kept(tensor.shape[dim], removed[dim])).to(tensor.device) for dim in sorted(removed)}
    return _selected(tensor, kept).contiguous(memory_format=_memory_format(tensor))


def _selected(tensor: Tensor, kept: Mapping[int, Tensor]) -> Tensor:
    if len(kept) > 1 and 0 in kept and tensor.numel() > _PIECE:
        shape = [len(kept.get(dim, range(size))) for dim, size in enumerate(tensor.shape)]
        found, others = tensor.new_empty(shape), {dim: kept[dim] for dim in kept if dim}
        rows = max(1, _PIECE // math.prod(tensor.shape[1:]))
        for piece, chosen in zip(found.split(rows), kept[0].split(rows), strict=True):
            piece.copy_(_selected(tensor.index_select(0, chosen), others))
        return found
    for dim, index in kept.items():
        tensor = tensor.index_select(dim, index)
    return tensor


def _kept(size: int, removed: Places) -> NDArray[np.intp]:
    stays = np.ones(size, dtype=np.bool_)
    stays[np.asarray(removed, dtype=np.intp)] = False
    return np.flatnonzero(stays)


def aliases(model: nn.Module, names: Collection[str]) -> dict[int, Any]:
    """Return parameters and buffers that look at the memory of a model's own, so that a copy of it need not copy them.

    Args:
        model: The model; it is left as it is.
        names: Which tensors; those of a type of their own are left out.

    Returns:
        For `copy.deepcopy`: identity of a tensor to its alias.

    Examples:
        >>> import copy
        >>> layer = nn.Linear(2, 3)
        >>> twin = copy.deepcopy(layer, aliases(layer, ["weight"]))
        >>> twin.weight is layer.weight, twin.weight.data_ptr() == layer.weight.data_ptr()
        (False, True)
    """
    found: dict[int, Any] = {}
    for name, tensor in named_tensors(model).items():
        if name in names and type(tensor) is nn.Parameter:
            found[id(tensor)] = nn.Parameter(tensor.data, tensor.requires_grad)
        elif name in names and type(tensor) is Tensor:
            found[id(tensor)] = tensor.detach()
    return found


def cut_tensors(model: nn.Module, removed: Positions) -> set[int]:
    """Cut parameters and buffers in place: the objects stay, so every module that holds one sees it cut.

    Args:
        model: A model that no one else uses; changed in place.
        removed: The positions that go.

    Returns:
        The identities of the tensors that were cut.

    Raises:
        SurgeryError: When a tensor is missing or has no such position; nothing was changed then.
    """
    tensors = named_tensors(model)
    for name, dims in removed.items():
        _check(name, dims, tensors.get(name))
    for name, dims in removed.items():
        # Setting `data` keeps the object, and with it ties, `requires_grad` and marks such as `_no_weight_decay`.
        tensors[name].data = take(tensors[name].data, dims)
    return {id(tensors[name]) for name in removed}


def _check(name: str, dims: Mapping[int, Places], tensor: Tensor | None) -> None:
    if tensor is None:
        raise SurgeryError(f"the plan cuts {name!r}, a tensor the model does not have; it is another model's plan")
    for dim, positions in dims.items():
        size = tensor.shape[dim] if dim < tensor.ndim else 0
        if positions[-1] >= size:
            raise SurgeryError(
                f"the plan removes position {positions[-1]} along dimension {dim} of {name!r}, whose shape is "
                f"{tuple(tensor.shape)}; it was made for a wider model"
            )
        if len(positions) >= size:
            raise SurgeryError(f"the plan leaves nothing of dimension {dim} of {name!r}; keep at least one channel")


def _memory_format(tensor: Tensor) -> torch.memory_format:
    plain = torch.empty(tensor.shape, device="meta").stride()
    channels_last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(tensor.ndim)
    if channels_last is None or tensor.stride() == plain or not tensor.is_contiguous(memory_format=channels_last):
        return torch.contiguous_format
    return channels_last
