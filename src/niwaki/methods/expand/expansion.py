"""Expansions: a weight that is computed from more numbers than it has, and folded back into itself."""

from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from niwaki.surgery.layout import Layout

__all__ = ["Expansion"]


class Expansion(nn.Module):
    """Computes a layer's weight in each forward pass, in the precision of what it is computed from.

    It is a parametrization of `torch.nn.utils.parametrize`: the layer stays one plain convolution with its stride,
    dilation, padding mode and groups. Its tensors are learnt by all tasks.

    Args:
        layout: The layer's.

    Attributes:
        owners: The tasks that have a scale of their own, in the order of `scales`.
        scales: What one task alone learns; empty where there is nothing of the kind.
    """

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.layout = layout
        self.owners: tuple[str, ...] = ()
        self.scales = nn.ParameterList()

    @abstractmethod
    def right_inverse(self, weight: Tensor) -> Sequence[Tensor]:
        """Return the tensors to begin with: those that give the weight.

        Args:
            weight: The plain layer's.
        """

    @abstractmethod
    def compute(self, tensors: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:
        """Compute the weight, of the layout's shape.

        Args:
            tensors: As `right_inverse` returned them, or trained since.
            scales: As `scales`.
        """

    def forward(self, *tensors: Tensor) -> Tensor:
        """Compute the weight; autocast gives it to the convolution in its own precision."""
        with torch.autocast(tensors[0].device.type, enabled=False):
            return self.compute(tensors, list(self.scales))

    def folded(self, tensors: Sequence[Tensor]) -> Tensor:
        """Compute the weight in float64 and round it once.

        Args:
            tensors: The trained tensors.

        Returns:
            The weight, in the tensors' own type, on their device.
        """
        wide = [[each.detach().cpu().double() for each in group] for group in (tensors, self.scales)]
        return self.compute(*wide).to(tensors[0])

    def decayed(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return the squared length of the weight, through which no task's own scale is learnt."""
        return self.compute(tensors, [each.detach() for each in self.scales]).square().sum()
