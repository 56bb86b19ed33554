"""The filters of one layer of all networks, as plain tensors: all that a selection looks at."""

from dataclasses import dataclass

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

    @property
    def params(self) -> int:
        """Parameters of the layer in all networks: its weight in means over layers."""
        return self.filters.numel()
