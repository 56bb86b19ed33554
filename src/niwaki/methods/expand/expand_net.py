"""ExpandNet: a layer trains as three linear ones through a wider space."""

from collections.abc import Sequence
from math import ceil
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from niwaki.methods.base import methods
from niwaki.methods.expand.expanding import Expanding
from niwaki.methods.expand.expansion import Expansion
from niwaki.methods.expand.layers import Candidate
from niwaki.surgery.layout import Layout

__all__ = ["ExpandNet", "Widened"]


class Widened(Expansion):
    """``W = Q K P`` in the channels of each group: to more channels, the kernel there, and back.

    Args:
        layout: The layer's, not transposed.
        ratio: How many times wider the inner kernel is, on both sides.
        seed: Seed of the two orthonormal maps it begins with.
    """

    def __init__(self, layout: Layout, ratio: float, seed: int) -> None:
        super().__init__(layout)
        self.ratio = ratio
        self.seed = seed

    def right_inverse(self, weight: Tensor) -> Sequence[Tensor]:
        """Draw maps into and out of the wider space that keep lengths, and put the weight between them."""
        generator = torch.Generator().manual_seed(self.seed)
        into, out = (self._orthonormal(channels, generator).to(weight) for channels in self.layout.channels)
        inner = torch.einsum("gqo,goik,gpi->gqpk", out, self._grouped(weight.detach()), into)
        return [out.mT.contiguous(), inner, into]

    def compute(self, tensors: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:  # noqa: ARG002 - it has none
        """Multiply out."""
        return torch.einsum("goq,gqpk,gpi->goik", *tensors).reshape(self.layout.shape)

    def _grouped(self, weight: Tensor) -> Tensor:
        inputs, outputs = self.layout.channels
        return weight.reshape(self.layout.groups, outputs, inputs, -1)

    def _orthonormal(self, channels: int, generator: torch.Generator) -> Tensor:
        wide = ceil(channels * self.ratio)
        drawn = torch.randn(self.layout.groups, wide, channels, generator=generator, dtype=torch.float64)
        columns: Tensor = torch.linalg.qr(drawn)[0]
        return columns


@methods.register("expand_net")
class ExpandNet(Expanding):
    """Train layers as three linear ones in a row through a wider space, and multiply them out.

    ExpandNets (arXiv 1811.10495): a k x k convolution becomes 1 x 1, k x k, 1 x 1 with more channels between them, a
    linear layer three linear ones. The maps into and out of the wider space begin orthonormal and random, so that the
    first forward pass answers as the plain network. Transposed convolutions stay plain.

    Attributes:
        ratio: How many times more channels there are inside, at least 1. The inner kernel grows with its square.
        seed: Seed of the random maps.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> ExpandNet(ratio=4).ratio
        4.0
    """

    kind: Literal["expand_net"] = "expand_net"
    ratio: float = Field(2.0, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)

    def _expand(self, candidate: Candidate, number: int) -> Expansion | str:
        if candidate.transposed:
            return "transposed convolution"
        return Widened(candidate.layout, self.ratio, self.seed + number)
