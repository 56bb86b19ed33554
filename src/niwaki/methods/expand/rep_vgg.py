"""RepVGG branches: a convolution trains as the sum of itself, a 1x1 convolution and the identity."""

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.expand.expanding import Expanding
from niwaki.methods.expand.expansion import Expansion
from niwaki.methods.expand.layers import Candidate

__all__ = ["Branches", "RepVGG"]


class Branches(Expansion):
    """``W = s_k W_k + pad(s_1 W_1) + pad(s_0 I)``, each branch with a scale for each output channel.

    Args:
        candidate: A convolution with an odd kernel.
        identity: Whether there is a branch that passes the input on.
    """

    def __init__(self, candidate: Candidate, *, identity: bool) -> None:
        super().__init__(candidate.layout)
        self.identity = identity
        self.centre = tuple(size // 2 for size in candidate.layout.taps)
        self.middle = prod(candidate.layout.taps) // 2

    def right_inverse(self, weight: Tensor) -> Sequence[Tensor]:
        """Share the centre tap evenly between the large and the small branch; the identity begins at zero."""
        small = weight.detach().flatten(2)[..., self.middle] / 2
        ones = weight.new_ones(len(weight))
        tensors = [weight.detach() - self._padded(small), small, ones, ones.clone()]
        return [*tensors, ones.new_zeros(len(ones))] if self.identity else tensors

    def compute(self, tensors: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:  # noqa: ARG002 - it has none
        """Add the branches up."""
        large, small, scale_large, scale_small, *scale_identity = tensors
        centre = scale_small[:, None] * small
        if scale_identity:
            passed = torch.eye(small.shape[1], dtype=small.dtype, device=small.device)
            centre = centre + scale_identity[0][:, None] * passed.repeat(self.layout.groups, 1)
        return scale_large.reshape(-1, *[1] * (large.ndim - 1)) * large + self._padded(centre)

    def _padded(self, centre: Tensor) -> Tensor:
        """Put a 1x1 kernel into the middle of a larger one."""
        sides = [place for size in reversed(self.centre) for place in (size, size)]
        return nn.functional.pad(centre.reshape(*centre.shape, *[1] * len(self.centre)), sides)


@methods.register("rep_vgg")
class RepVGG(Expanding):
    """Train convolutions as RepVGG blocks, and fold the branches into one kernel.

    RepVGG (arXiv 2101.03697), section 3: a 1x1 branch beside each convolution, and an identity where input and output
    have the same number of channels and the stride is 1. The branches have no batch norms of their own but a learnt
    scale for each output channel, as in OREPA (arXiv 2204.00826) and RepOptimizers (arXiv 2205.15242): so there is
    still one plain convolution in each forward pass, the first of which answers as the plain network, and the fold is
    exact in any mode. Kernels of one or of an even size, transposed convolutions and linear layers stay plain.

    Attributes:
        identity: Whether there is an identity branch.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> RepVGG(scope="trunk").kind
        'rep_vgg'
    """

    kind: Literal["rep_vgg"] = "rep_vgg"
    identity: bool = True

    def _expand(self, candidate: Candidate, number: int) -> Expansion | str:  # noqa: ARG002 - nothing is drawn
        layout = candidate.layout
        if not candidate.convolves or not all(size % 2 for size in layout.taps):
            return "no convolution with an odd kernel"
        stride = candidate.layer.stride
        assert isinstance(stride, tuple)
        inputs, outputs = layout.channels
        same = inputs == outputs and max(stride) == 1
        return Branches(candidate, identity=self.identity and same)
