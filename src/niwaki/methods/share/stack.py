"""The filters of one layer of all networks, as plain tensors: all that a selection looks at."""

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["LayerStack"]


@dataclass(frozen=True, eq=False)
class LayerStack:
    """The filters that may share a bank.

    Attributes:
        name: Name of the layer: its first member's.
        members: Module name of the convolution in each network that has the layer.
        filters: X, `[N, d]`, float32 on the CPU; rows network by network.
        owners: Number of the member that each row belongs to, `[N]`.
        tasks: The tasks that each member serves.
        importance: What each filter is worth, `[N]`, at least 0.
    """

    name: str
    members: tuple[str, ...]
    filters: Tensor
    owners: Tensor
    tasks: tuple[tuple[str, ...], ...]
    importance: Tensor

    @property
    def size(self) -> int:
        """Number of filters, N."""
        return self.filters.shape[0]

    def least(self, share: float) -> Tensor:
        """Return which filters are among those of least importance of their member, the first of equals.

        Args:
            share: How many of each member's filters, from 0 to 1; rounded down.

        Returns:
            `[N]`.
        """
        found = torch.zeros(self.size, dtype=torch.bool)
        for number in range(len(self.members)):
            rows = torch.nonzero(self.owners == number).flatten()
            order = rows[self.importance[rows].argsort(stable=True)]
            found[order[: int(share * rows.numel())]] = True
        return found

    @property
    def params(self) -> int:
        """Parameters of the layer in all networks: its weight in means over layers."""
        return self.filters.numel()
