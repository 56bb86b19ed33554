"""Channels of networks that were trained apart, brought into one order by permutation matching.

Permuting the channels of a group leaves a network's answers as they are; *Git Re-Basin* (Ainsworth et al., ICLR 2023,
arXiv 2209.04836) finds the permutations by which one network comes closest to another, from weights (its Algorithm 1)
or activations (its section 3.1). Here they go through the channel groups of our graph, so that residual sums and
concatenations stay together.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.errors import ContractError
from niwaki.graph import Channels, find_channels, trace
from niwaki.methods.share.layers import Layer, networks_of
from niwaki.methods.share.likeness import Likeness, Orders, activation_likeness, weight_likeness
from niwaki.methods.share.pairing import Pair, Side, pair_groups
from niwaki.modules import evaluating
from niwaki.surgery import permute_channels

__all__ = ["align_networks", "match"]

_SWEEPS = 50
_TOLERANCE = 1e-4


def align_networks(
    model: nn.Module,
    example: Any,
    layers: Sequence[Layer],
    by: Literal["activations", "weights"],
    inputs: Sequence[Example] = (),
) -> None:
    """Bring the channels of every network into the order of the first.

    Args:
        model: A plain `niwaki.TaskNets`; its tensors are changed in place, its answers are not.
        example: Its inputs.
        layers: Matched convolutions.
        by: What is compared.
        inputs: Inputs of one network, for activations.

    Raises:
        ContractError: When activations are to be compared without inputs, or the answers changed: channels are not
            alike that the graph took for such.
    """
    if by == "activations" and not inputs:
        raise ContractError("aligning by activations needs batches: give `data`, or align by weights")
    channels = find_channels(trace(model, example))
    reference, *others = networks_of(model)
    before = _probed(model, channels)
    for network in others:
        pairs = pair_groups(channels, layers, reference, network)
        if by == "weights":
            orders = match(pairs, weight_likeness(model, pairs), sweeps=_SWEEPS)
        else:
            orders = match(pairs, activation_likeness(model, (reference, network), pairs, inputs), sweeps=0)
        for number, pair in enumerate(pairs):
            permute_channels(model, pair.second.slices, orders[number].tolist())
    for answer, again in zip(before, _probed(model, channels), strict=True):
        if float((answer - again).abs().max()) > _TOLERANCE * max(1.0, float(answer.abs().max())):
            raise ContractError(
                "the channels of these networks can't be put into another order: their answers changed; train them "
                "from a common start instead"
            )


def match(pairs: Sequence[Pair], likeness: Likeness, *, sweeps: int) -> Orders:
    """Find the order of every pair that makes the networks most alike.

    One pass in the order of the programs compares those filters whose inputs are in order by then; sweeps over all
    pairs, with filters and input channels, follow until nothing changes.

    Args:
        pairs: The groups.
        likeness: How alike positions are.
        sweeps: Sweeps at most.

    Returns:
        The orders.
    """
    orders = {number: np.arange(pair.first.size) for number, pair in enumerate(pairs)}
    fed_by = {side.second: number for number, pair in enumerate(pairs) for side in pair.sides if side.dim == 1}
    for number, pair in enumerate(pairs):
        filters = [side for side in pair.sides if side.dim == 0]
        ready = [side for side in filters if fed_by.get(side.second, -1) < number]
        orders[number] = _assigned(pair, ready or filters, likeness, orders)
    for _ in range(sweeps):
        before = {number: order.copy() for number, order in orders.items()}
        for number, pair in enumerate(pairs):
            orders[number] = _assigned(pair, pair.sides, likeness, orders)
        if all((orders[number] == before[number]).all() for number in orders):
            break
    return orders


def _assigned(pair: Pair, sides: Sequence[Side], likeness: Likeness, orders: Orders) -> NDArray[np.int64]:
    """Return the best order of one pair; channels take the places of their own stratum only."""
    gain = np.zeros((pair.first.size, pair.first.size))
    for side in sides:
        rows, columns = side.channels >= 0, side.others >= 0
        found = likeness(side, orders).numpy()[np.ix_(rows, columns)]
        gain[np.ix_(side.channels[rows], side.others[columns])] += found
    order = np.arange(pair.first.size)
    for stratum in np.unique(pair.first.strata):
        inside = np.flatnonzero(pair.first.strata == stratum)
        places, chosen = linear_sum_assignment(gain[np.ix_(inside, inside)], maximize=True)
        order[inside[places]] = inside[chosen]
    return order


def _probed(model: nn.Module, channels: Channels) -> list[Tensor]:
    """Return what the model answers to random inputs of the example's shapes."""
    generator = torch.Generator().manual_seed(0)

    def noise(tensor: Tensor) -> Tensor:
        drawn = torch.randn(tensor.shape, generator=generator).to(tensor)
        return drawn if tensor.is_floating_point() else tensor

    with evaluating(model), torch.no_grad():
        answers = [program.example.map(noise).call(model) for program in channels.traced.eval_programs]
    return [each.double() for each in torch.utils._pytree.tree_leaves(answers)]  # noqa: SLF001 - it has no public name
