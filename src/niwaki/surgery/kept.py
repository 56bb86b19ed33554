"""Which positions of a labelled tensor stay when some channel classes go."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from niwaki.graph import Channels, Labels, State
from niwaki.surgery.tensors import Places, Positions

__all__ = ["Kept", "Mask", "labels_of", "positions_of"]

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""Bytes of a number to integers as long."""

_SHORT = 64
"""Numbers in a row, below which going from row to row takes longer than the numbers."""

Mask = NDArray[np.bool_]
"""By class id, whether the class goes. Class 0 is frozen and never goes."""


def labels_of(state: State, rank: int) -> Labels:
    """Return a single tensor's labels, frozen whole where there are none.

    Args:
        state: What the graph says of a value.
        rank: The number of dimensions of the tensor.

    Returns:
        One entry for each dimension.
    """
    if state is None or isinstance(state, list) or len(state) != rank:
        return (None,) * rank
    return state


def positions_of(channels: Channels, removed: Mask) -> Positions:
    """Return the positions that channel classes take in the parameters and buffers.

    Args:
        channels: The model's channel classes.
        removed: By class id, whether the class goes.

    Returns:
        Tensor to dimension to the positions that go, of every tensor that loses some.
    """
    found: Positions = {}
    for name, labels in channels.tensors.items():
        kept = Kept(labels, removed)
        dims: dict[int, Places] = {dim: kept.gone(dim) for dim in kept.touched()}
        if dims:
            found[name] = dims
    return found


@dataclass(frozen=True)
class Kept:
    """The positions that stay of one tensor.

    Attributes:
        labels: Class ids for each dimension, None where it is frozen whole.
        removed: The classes that go.
    """

    labels: Labels
    removed: Mask

    def gone(self, dim: int) -> NDArray[np.intp]:
        """Return the positions of a dimension that go; empty where all stay."""
        classes = self.labels[dim]
        return np.flatnonzero(() if classes is None else self.removed[classes])

    def stays(self, dim: int) -> NDArray[np.bool_]:
        """Tell, for each position of a labelled dimension, whether it stays."""
        classes = self.labels[dim]
        assert classes is not None
        return ~self.removed[classes]

    def touched(self, dims: Iterable[int] | None = None) -> list[int]:
        """Return the dimensions, of those given or of all, that lose positions."""
        rank = len(self.labels)
        chosen = range(rank) if dims is None else [dim % rank for dim in dims]
        return [dim for dim in chosen if self._touched(dim)]

    def _touched(self, dim: int) -> bool:
        classes = self.labels[dim]
        return classes is not None and bool(self.removed[classes].any())

    def restrict(self, tensor: Tensor, dims: Iterable[int] | None = None) -> Tensor:
        """Return the tensor without the positions that go along some dimensions."""
        for dim in self.touched(dims):
            tensor = tensor.index_select(dim, self._index(dim, tensor))
        return tensor

    def scatter(self, part: Tensor, dims: Iterable[int] | None = None) -> Tensor:
        """Undo `restrict` along some dimensions: what went is zero."""
        for dim in self.touched(dims):
            shape = list(part.shape)
            shape[dim] = len(self.stays(dim))
            whole = part.new_zeros(shape)
            part = whole.index_copy(dim, self._index(dim, part), part)
        return part

    def silence(self, tensor: Tensor) -> Tensor:
        """Return the tensor with zeros at the positions that go, also where it is infinite or not a number."""
        if tensor.is_complex():
            return torch.view_as_complex(self.silence(torch.view_as_real(tensor)))
        bits = tensor.detach().view(_BITS[tensor.element_size()])
        for number, dim in enumerate(self.touched()):
            bits = bits.bitwise_and_(self._mask(dim, bits)) if number else bits & self._mask(dim, bits)
        return bits.view(tensor.dtype)

    def silence_(self, tensor: Tensor) -> Tensor:
        """Write zeros into a tensor at the positions that go, and return it."""
        bits = tensor.detach().view(_BITS[tensor.element_size()])
        for dim in self.touched():
            bits.bitwise_and_(self._mask(dim, bits))
        return tensor

    def _mask(self, dim: int, bits: Tensor) -> Tensor:
        """Return ones in all bits of what stays; as long along short dimensions as is fast to go through."""
        mask = torch.from_numpy(-self.stays(dim).astype(np.int8)).to(bits)
        mask = mask.reshape(-1, *(1 for _ in range(dim + 1, bits.ndim)))
        inner = bits.shape[dim + 1 :]
        return mask.expand(-1, *inner).contiguous() if dim and math.prod(inner) < _SHORT else mask

    def _index(self, dim: int, like: Tensor) -> Tensor:
        return torch.from_numpy(np.flatnonzero(self.stays(dim))).to(like.device)
