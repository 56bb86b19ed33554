"""DO-Conv: a convolution trains as the product of itself and a depthwise one."""

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor

from niwaki.methods.base import methods
from niwaki.methods.expand.expanding import Expanding
from niwaki.methods.expand.expansion import Expansion
from niwaki.methods.expand.layers import Candidate

__all__ = ["DOConv", "Depthwise"]


class Depthwise(Expansion):
    """``W[o, i, k] = sum_d F[o, i, d] (I + D)[i, d, k]``: the taps of each input channel are mixed by a matrix."""

    def right_inverse(self, weight: Tensor) -> Sequence[Tensor]:
        """Begin with the weight itself, and D at zero."""
        taps = prod(self.layout.taps)
        inputs = self.layout.channels[0] * self.layout.groups
        return [weight.detach().clone(), weight.new_zeros(inputs, taps, taps)]

    def compute(self, tensors: Sequence[Tensor], scales: Sequence[Tensor]) -> Tensor:  # noqa: ARG002 - it has none
        """Compose the two convolutions."""
        kernel, mixing = tensors
        (inputs, outputs), groups, taps = self.layout.channels, self.layout.groups, mixing.shape[-1]
        eye = torch.eye(taps, dtype=mixing.dtype, device=mixing.device)
        mixed = torch.einsum(
            "goid,gidk->goik",
            kernel.reshape(groups, outputs, inputs, taps),
            (mixing + eye).reshape(groups, inputs, taps, taps),
        )
        return mixed.reshape(self.layout.shape)


@methods.register("do_conv")
class DOConv(Expanding):
    """Train convolutions with a depthwise convolution composed before them, and fold the two into one kernel.

    DO-Conv (arXiv 2006.12030) with as many depthwise kernels for each input channel as the kernel has taps. They are
    the identity plus what is learnt, so that the first forward pass answers as the plain network. Kernels of one,
    transposed convolutions and linear layers stay plain.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> DOConv(keep=["heads.*"]).keep
        ('heads.*',)
    """

    kind: Literal["do_conv"] = "do_conv"

    def _expand(self, candidate: Candidate, number: int) -> Expansion | str:  # noqa: ARG002 - nothing is drawn
        return Depthwise(candidate.layout) if candidate.convolves else "no convolution with a kernel above one"
