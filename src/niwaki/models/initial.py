"""Initial weights, drawn from a generator."""

import math
from itertools import pairwise

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # torch's only common class of the batch norms

__all__ = ["initialise"]

Weighted = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


@torch.no_grad()
def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights anew; norms start at 1 and 0, biases at 0.

    A layer without a bias stands before a norm and a ReLU: He et al. (arXiv 1502.01852), normal with variance
    `2 / fan_out`. A layer with a bias gives an answer or a pooled feature: variance `1 / fan_in`, so that the first
    answers have about the scale of the features. Where a ReLU follows it in an `nn.Sequential`, the ReLU takes half of
    the scale and the variance is `2 / fan_in`, so that a stack without norms keeps the scale.

    Args:
        model: The network, on the CPU; its parameters and norm statistics are changed in place.
        generator: The source of the numbers, on the CPU.

    Examples:
        >>> layer = nn.Conv2d(3, 8, 1)
        >>> initialise(layer, torch.Generator().manual_seed(0))
        >>> layer.bias.any().item()
        False
    """
    rectified = _rectified(model)
    for module in model.modules():
        if isinstance(module, Weighted):
            gain = 2 if module in rectified or module.bias is None else 1
            module.weight.normal_(0, math.sqrt(gain / _fan(module)), generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, _BatchNorm):
            module.reset_parameters()


def _rectified(model: nn.Module) -> set[nn.Module]:
    stacks = (list(module) for module in model.modules() if isinstance(module, nn.Sequential))
    return {layer for stack in stacks for layer, after in pairwise(stack) if isinstance(after, nn.ReLU)}


def _fan(layer: Weighted) -> int:
    field = math.prod(layer.weight.shape[2:])
    fans = (layer.weight.shape[0] * field, layer.weight.shape[1] * field)
    if isinstance(layer, nn.ConvTranspose2d):
        fans = fans[::-1]
    fan_out, fan_in = fans
    return fan_out if layer.bias is None else fan_in
