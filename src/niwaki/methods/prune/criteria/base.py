"""What every criterion is: settings that score the channel classes of a model, higher is worth more."""

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from niwaki.errors import ContractError
from niwaki.graph import Channels
from niwaki.methods.prune.evidence import Evidence
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["Criterion", "Scores", "criteria", "parameters_of", "required", "sum_over_classes"]

Scores = NDArray[np.float64]


class Criterion(Settings):
    """What a channel is worth. Of channels that may replace one another, those with the lowest scores go first.

    Attributes:
        kind: The criterion's name in the registry `criteria`.
    """

    kind: str

    @abstractmethod
    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:
        """Score every channel class of a model.

        Args:
            model: The model, whose parameters bear the names in ``channels``.
            channels: Its channel classes.
            evidence: What `gather` returned, after it has seen batches; None where that was None.

        Returns:
            One score for each class id, ``[classes]``; that of class 0 (frozen) has no meaning.
        """

    def gather(self, channels: Channels) -> Evidence | None:  # noqa: ARG002 - most criteria look at weights alone
        """Return what the tasks' gradients are to be shown to, or None where the weights say enough."""
        return None

    def penalty(self, model: nn.Module, channels: Channels) -> Tensor | None:  # noqa: ARG002 - most have none
        """Return what is added to the loss of every batch until the last cut, or None."""
        return None

    def notes(self, channels: Channels, evidence: Evidence | None) -> tuple[str, ...]:  # noqa: ARG002 - most have none
        """Return what the plan should say of how channels were scored."""
        return ()


criteria: Registry[type[Criterion]] = Registry("criterion")


def required(evidence: Evidence | None, kind: type[Evidence], criterion: str) -> Evidence:
    """Return evidence that can be judged by.

    Args:
        evidence: What was gathered.
        kind: Whose it has to be.
        criterion: The criterion's name.

    Returns:
        The same evidence.

    Raises:
        ContractError: When there is none, or it has seen no batch.
    """
    if not isinstance(evidence, kind) or not evidence.batches:
        raise ContractError(
            f"the criterion {criterion!r} judges channels by the tasks' gradients, and there were none: give `tasks` "
            "with their losses and `data`, batches of (x, {task: target})"
        )
    return evidence


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
