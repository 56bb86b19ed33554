"""Channels of a group put into another order, everywhere they lie: the network's answers stay the same."""

from collections.abc import Iterable, Sequence

import torch
from torch import nn

from niwaki.records import Slice
from niwaki.surgery.tensors import named_tensors

__all__ = ["permute_channels"]


@torch.no_grad()
def permute_channels(model: nn.Module, slices: Iterable[Slice], order: Sequence[int]) -> None:
    """Put the channels of a group into another order.

    Args:
        model: The model; its tensors are changed in place.
        slices: Where the channels lie.
        order: For each place the channel that is to stand there; a channel and the one it replaces take as many
            positions.

    Examples:
        >>> net = nn.Linear(1, 2, bias=False)
        >>> _ = net.weight.data.copy_(torch.tensor([[1.0], [2.0]]))
        >>> permute_channels(net, [Slice(tensor="weight", dim=0, positions=((0,), (1,)))], [1, 0])
        >>> net.weight.flatten().tolist()
        [2.0, 1.0]
    """
    tensors = named_tensors(model)
    for each in slices:
        tensor = tensors[each.tensor]
        moved = torch.arange(tensor.shape[each.dim])
        for place, channel in enumerate(order):
            moved[list(each.positions[place])] = torch.tensor(each.positions[channel], dtype=torch.long)
        tensor.data = tensor.data.index_select(each.dim, moved.to(tensor.device)).contiguous()
