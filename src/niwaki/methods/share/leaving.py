"""Filters that leave for good: those whose whole channel may go, through the channel groups of their network."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.contract import as_examples, describe_example
from niwaki.graph import Channels
from niwaki.methods.share.merging import Merge
from niwaki.records import GroupPlan, Plan
from niwaki.surgery import banks_of, find_literal_sizes

__all__ = ["leaving_plan", "unfit_rows"]

Mask = NDArray[np.bool_]


def unfit_rows(merges: Sequence[Merge]) -> dict[str, Tensor]:
    """Return which filters had better go, by the weight that holds them.

    Args:
        merges: What becomes of each layer.

    Returns:
        Weight to a flag for each filter, `[n]`.
    """
    return {
        f"{member}.weight": merge.unfit[merge.stack.owners == number]
        for merge in merges
        for number, member in enumerate(merge.stack.members)
    }


def leaving_plan(model: nn.Module, example: object, channels: Channels, unfit: Mapping[str, Tensor]) -> Plan | None:
    """Plan the cut of the channels of which every filter had better go.

    A channel that several layers make, as in a residual sum, goes only where all of them agree.

    Args:
        model: The model.
        example: Its inputs, for the plan.
        channels: Its channel classes.
        unfit: Weight to a flag for each filter.

    Returns:
        The plan; None where no channel can go.
    """
    gone = _agreed(channels, unfit)
    for classes in _drawn(model, channels):
        gone[classes] = False
    for fault in find_literal_sizes(model, channels, gone) if gone.any() else ():
        gone[fault.classes] = False
    if not gone.any():
        return None
    groups = [
        GroupPlan(
            name=group.name,
            size=group.size,
            kept=tuple(np.flatnonzero(~gone[group.classes]).tolist()),
            slices=group.slices,
            reason=group.reason,
            unit=group.unit,
        )
        for group in channels.groups
    ]
    specs = tuple(describe_example(each) for each in as_examples(example))
    return Plan(groups=tuple(groups), examples=specs, asked="filters that no kept one stands for", form="module")


def _agreed(channels: Channels, unfit: Mapping[str, Tensor]) -> Mask:
    """Return the removable classes that unfit filters make, and nothing else does."""
    makes, stays = np.zeros(channels.count, dtype=np.bool_), np.zeros(channels.count, dtype=np.bool_)
    for tensor, dim in channels.solution.walk.produced:
        classes = channels.tensors[tensor][dim]
        if classes is None:
            continue
        flags = unfit.get(tensor, torch.zeros(classes.size, dtype=torch.bool)).numpy()
        makes[classes[flags]] = True
        stays[classes[~flags]] = True
    for pieces in channels.equal_chunks:  # pieces that must stay equally long stay as they are
        for classes in pieces:
            stays[classes] = True
    return makes & ~stays & channels.removable


def _drawn(model: nn.Module, channels: Channels) -> Iterator[NDArray[np.int64]]:
    """Yield the classes that layers with banks make: their filters were judged before, and stay."""
    for name, layer in ((name, each) for bank in banks_of(model) for name, each in bank.users.items()):
        classes = channels.tensors[f"{name}.rows" if layer.place is None else f"{name}.place"][0]
        if classes is not None:
            yield classes
