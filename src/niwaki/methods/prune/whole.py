"""What a plan says of every group and layer: what it keeps, and why it was left whole."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niwaki.graph import ChannelGroup, Channels
from niwaki.records import GroupPlan

__all__ = ["Outcome", "outcomes", "why_nothing_goes"]

_ENOUGH = "the budget is met without it"
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Outcome:
    """A choice of channels.

    Attributes:
        channels: The channel classes.
        stays: By class id, whether the class stays.
        reasons: By class id, why the class could not go at any share, or an empty text.
        outputs: Weight to its dimension of output channels.
    """

    channels: Channels
    stays: NDArray[np.bool_]
    reasons: NDArray[np.object_]
    outputs: dict[str, int]


def outcomes(outcome: Outcome) -> tuple[tuple[GroupPlan, ...], dict[str, str]]:
    """Write down what becomes of every group and of every layer that stays whole.

    Args:
        outcome: A choice of channels.

    Returns:
        The groups that could give something, each with a reason where it stays whole; and layer to reason for the
        layers outside such groups whose output channels all stay.
    """
    able = [group for group in outcome.channels.groups if group.reason is None]
    groups = tuple(_group(outcome, group) for group in able)
    home = np.full(len(outcome.stays), -1)
    for index, group in enumerate(able):
        home[group.classes[outcome.channels.removable[group.classes]]] = index
    frozen = {}
    for weight, dim in outcome.outputs.items():
        labels = outcome.channels.tensors[weight][dim]
        classes = labels[home[labels] >= 0] if labels is not None else np.zeros(0, dtype=np.int64)
        listed = {groups[index].reason is not None for index in home[classes].tolist()}
        if outcome.stays[classes].all() and listed != {True}:
            frozen[weight.rpartition(".")[0] or weight] = _reason(outcome, weight, classes)
    return groups, frozen


def why_nothing_goes(outcome: Outcome) -> str:
    """Say of a model without a channel to give what keeps the first of its layers.

    Args:
        outcome: A choice that keeps everything.

    Returns:
        The first reasons, each with a group's or layer's name.
    """
    groups, frozen = outcomes(outcome)
    told = [f"{each.name}: {each.reason}" for each in groups] + [f"{name}: {why}" for name, why in frozen.items()]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return "; ".join(told[:_SHOWN]) + more if told else "the model has no layer with channels"


def _group(outcome: Outcome, group: ChannelGroup) -> GroupPlan:
    kept = tuple(np.flatnonzero(outcome.stays[group.classes]).tolist())
    reason = _of_classes(outcome, group.classes) if len(kept) == group.size else None
    return GroupPlan(name=group.name, size=group.size, kept=kept, slices=group.slices, reason=reason, unit=group.unit)


def _reason(outcome: Outcome, weight: str, classes: NDArray[np.int64]) -> str:
    if len(classes):
        return _of_classes(outcome, classes)
    labels = outcome.channels.tensors[weight][outcome.outputs[weight]]
    for label in [] if labels is None else np.unique(labels).tolist():
        if label in outcome.channels.reasons:
            return outcome.channels.reasons[label]
    told = outcome.channels.frozen.get(weight) or outcome.channels.why(weight)
    lines = told.splitlines()
    return next((line for line in lines if f"dimension {outcome.outputs[weight]}:" in line), lines[0])


def _of_classes(outcome: Outcome, classes: NDArray[np.int64]) -> str:
    found = [reason for reason in dict.fromkeys(outcome.reasons[classes].tolist()) if reason]
    stuck = all(outcome.reasons[classes])
    return "; ".join(found) if stuck else _ENOUGH
