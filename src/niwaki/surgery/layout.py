"""A layer's weight as matrices: for each group one row for an input channel and all taps but the last axis."""

import math
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Where the axes of a weight stand in the matrices of its spatial factorisation.

    Of a convolution ``W [out, in / groups, *taps]`` each group's matrix is ``A [in kh, out kw]``: the first factor then
    runs along the height and the second along the width. The axes must be brought into this order first; a plain
    reshape of the weight factorises as well, but mixes taps and channels. Transposed convolutions, whose weight is
    ``[in, out / groups, *taps]``, give the same matrices; with one spatial axis A is ``[in k, out]``, with three
    ``[in kd kh, out kw]``, and of a linear layer ``[in, out]``.

    Attributes:
        shape: Shape of the weight.
        groups: Groups of channels, at least 1.
        transposed: Whether the input channels come first.

    Examples:
        >>> Layout.of(nn.Conv2d(6, 4, 3, groups=2)).sizes
        (2, 9, 6)
        >>> Layout.of(nn.Linear(3, 5)).sizes
        (1, 3, 5)
    """

    shape: tuple[int, ...]
    groups: int = 1
    transposed: bool = False

    @classmethod
    def of(cls, layer: nn.Module) -> "Layout":
        """Read a layer's layout.

        Args:
            layer: A convolution, transposed or not, or a linear layer.
        """
        weight = layer.weight
        assert isinstance(weight, Tensor)
        groups = layer.groups if isinstance(layer, _ConvNd) else 1
        return cls(tuple(weight.shape), groups, isinstance(layer, _ConvTransposeNd))

    @property
    def taps(self) -> tuple[int, ...]:
        """Size of the kernel; empty for a linear layer."""
        return self.shape[2:]

    @property
    def split(self) -> int:
        """How many spatial axes belong to the first factor: all but the last, and the only one of a line."""
        return max(len(self.taps) - 1, min(1, len(self.taps)))

    @property
    def channels(self) -> tuple[int, int]:
        """Input and output channels of one group."""
        first, second = self.shape[0] // self.groups, self.shape[1]
        return (first, second) if self.transposed else (second, first)

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Groups, rows and columns of the matrices."""
        inputs, outputs = self.channels
        return (
            self.groups,
            inputs * math.prod(self.taps[: self.split]),
            outputs * math.prod(self.taps[self.split :]),
        )

    @property
    def full_rank(self) -> int:
        """The largest rank of a group's matrix."""
        return min(self.sizes[1:])

    @property
    def depthwise(self) -> bool:
        """Whether each group reads a single channel, of several."""
        return self.groups > 1 and self.channels[0] == 1

    def matrix(self, weight: Tensor) -> Tensor:
        """Bring a weight into matrices.

        Args:
            weight: Of `shape`.

        Returns:
            ``[groups, rows, columns]``.
        """
        first = self.shape[0] // self.groups
        return weight.reshape(self.groups, first, self.shape[1], *self.taps).permute(self._order()).reshape(self.sizes)

    def weight(self, matrix: Tensor) -> Tensor:
        """Undo `matrix`.

        Args:
            matrix: ``[groups, rows, columns]``.

        Returns:
            The weight, of `shape`.
        """
        inputs, outputs = self.channels
        open_shape = (self.groups, inputs, *self.taps[: self.split], outputs, *self.taps[self.split :])
        order = self._order()
        back = [order.index(place) for place in range(len(order))]
        return matrix.reshape(open_shape).permute(back).reshape(self.shape)

    def _order(self) -> list[int]:
        """Group, input channels, first taps, output channels, last taps, as places in the grouped weight."""
        inputs, outputs = (1, 2) if self.transposed else (2, 1)
        taps = range(3, 3 + len(self.taps))
        return [0, inputs, *taps[: self.split], outputs, *taps[self.split :]]
