"""Thinning: what the tasks' losses are without some channels, before anything is decided."""

from collections.abc import Iterator
from copy import deepcopy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from niwaki.graph import Channels, named_tensors
from niwaki.methods.calibration import Calibration
from niwaki.surgery import cut_away

__all__ = ["losses_without", "silenced"]


def losses_without(
    model: nn.Module, channels: Channels, gone: NDArray[np.bool_], calibration: Calibration
) -> dict[str, float]:
    """Return the tasks' mean losses of a copy of a model that some channels are cut out of.

    Where the model's Python code can't run at its new sizes, so that its graph would come back, the channels are
    silenced instead, which is an estimate for layer and group norms.

    Args:
        model: The model; it stays as it is.
        channels: Its channel classes.
        gone: By class id, whether the class goes.
        calibration: The batches.

    Returns:
        Task to loss; a task without any label is missing.
    """
    try:
        return calibration.mean_losses(cut_away(model, channels, gone))
    except Exception:  # noqa: BLE001 - whatever the model's forward raises
        return calibration.mean_losses(silenced(model, channels, gone))


def silenced(model: nn.Module, channels: Channels, gone: NDArray[np.bool_]) -> nn.Module:
    """Return a copy of a model in which some channels are zero.

    All their slices are zero, in every parameter and buffer. The answers are those of the cut model, but for norms that
    take their statistics from the features themselves (layer and group norms), where it is an estimate.

    Args:
        model: The model; it stays as it is.
        channels: Its channel classes.
        gone: By class id, whether the class is silenced.

    Returns:
        The copy, in the same mode.

    Examples:
        >>> from niwaki.graph import find_channels, trace
        >>> net = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1, bias=False))
        >>> channels = find_channels(trace(net, torch.ones(1, 1)))
        >>> silenced(net, channels, channels.removable)(torch.ones(1, 1)).item()
        0.0
    """
    twin = deepcopy(model)
    with torch.no_grad():
        for name, tensor in named_tensors(twin):
            for dim, positions in _positions(channels, name, gone):
                tensor.index_fill_(dim, torch.tensor(positions, device=tensor.device), 0)
    return twin


def _positions(channels: Channels, name: str, gone: NDArray[np.bool_]) -> Iterator[tuple[int, list[int]]]:
    """Yield each dimension of a tensor that loses positions, with these."""
    for dim, labels in enumerate(channels.tensors.get(name, ())):
        if labels is not None and gone[labels].any():
            yield dim, np.flatnonzero(gone[labels]).tolist()
