"""Evidence: what the tasks' own gradients say of each channel, gathered over batches."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from niwaki.graph import Channels
from niwaki.methods.calibration import Gradients
from niwaki.methods.prune.sides import Place

__all__ = ["Evidence", "over_classes"]


class Evidence(ABC):
    """What a criterion remembers of the batches since the last cut.

    Attributes:
        parameters: Canonical names of the parameters whose gradients it reads.
        batches: How many batches it has seen.
    """

    parameters: tuple[str, ...]
    batches: int

    @abstractmethod
    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        """Add one batch.

        Args:
            parameters: Name to value, of `parameters` at least.
            gradients: Each labelled task's gradients.
        """

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """Return what was gathered, as tensors and plain data."""

    @abstractmethod
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""


def over_classes(
    channels: Channels, place: Place, values: Tensor, *, cache: dict[Place, Tensor] | None = None
) -> Tensor:
    """Add the values of a dimension's positions up by channel class.

    Args:
        channels: The channel classes.
        place: A tensor and its dimension of ``n`` positions.
        values: ``[..., n]``.
        cache: Where class ids are kept on the values' device.

    Returns:
        ``[..., classes]``, in float64 where the device has it.
    """
    labels = None if cache is None else cache.get(place)
    if labels is None or labels.device != values.device:
        bare = channels.tensors[place[0]][place[1]]
        labels = torch.as_tensor(bare, device=values.device)
        if cache is not None:
            cache[place] = labels
    exact = torch.float32 if values.device.type == "mps" else torch.float64
    total = torch.zeros(*values.shape[:-1], channels.count, dtype=exact, device=values.device)
    return total.index_add_(-1, labels, values.to(exact))
