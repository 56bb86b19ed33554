"""What every criterion is: settings that score the channel classes of a model, higher is worth more."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["Criterion", "Scores", "criteria", "parameters_of", "sum_over_classes"]

Scores = NDArray[np.float64]


class Criterion(Settings):
    """What a channel is worth. Of channels that may replace one another, those with the lowest scores go first.

    Attributes:
        kind: The criterion's name in the registry `criteria`.
    """

    kind: str

    @abstractmethod
    def score(self, model: nn.Module, channels: Channels) -> Scores:
        """Score every channel class of a model.

        Args:
            model: The model, whose parameters bear the names in ``channels``.
            channels: Its channel classes.

        Returns:
            One score for each class id, ``[classes]``; that of class 0 (frozen) has no meaning.
        """


criteria: Registry[type[Criterion]] = Registry("criterion")


def parameters_of(model: nn.Module, channels: Channels) -> dict[str, Tensor]:
    """Return the parameters that bear channels, each once, by canonical name.

    Args:
        model: The model.
        channels: Its channel classes.

    Returns:
        Canonical name to parameter, detached.
    """
    named = model.named_parameters()
    return {name: tensor.detach() for name, tensor in named if name in channels.tensors and tensor.is_floating_point()}


def sum_over_classes(channels: Channels, slices: dict[tuple[str, int], NDArray[np.float64]]) -> Scores:
    """Add up the scores of slices over the classes that the slices belong to.

    Args:
        channels: The channel classes.
        slices: ``(tensor, dim)`` to one score for each position along the dimension.

    Returns:
        One sum for each class id, ``[classes]``.
    """
    total = np.zeros(len(channels.removable))
    for (name, dim), values in slices.items():
        labels = channels.tensors[name][dim]
        if labels is not None:
            total += np.bincount(labels, weights=values, minlength=len(total))
    return total
