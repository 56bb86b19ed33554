"""Chooses channels to remove at random, as a planner would, and makes plans of the choice."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from torch import nn

from niwaki.contract import as_examples, describe_example
from niwaki.graph import Channels, find_channels, trace
from niwaki.records import GroupPlan
from niwaki.surgery import Plan
from niwaki.surgery.kept import Mask


def find(model: nn.Module, example: Any) -> Channels:
    return find_channels(trace(model, example))


def choose(channels: Channels, *, share: float = 0.5, seed: int = 0) -> Mask:
    """Remove about a share of every stratum, at random, keeping equal numbers where the model's code asks for them."""
    count = len(channels.removable)
    rows: list[NDArray[np.float64]] = []
    high: list[float] = []

    def demand(classes: NDArray[np.int64], other: NDArray[np.int64], most: float) -> None:
        rows.append(np.bincount(classes, minlength=count) - np.bincount(other, minlength=count).astype(float))
        high.append(most)

    none = np.empty(0, np.int64)
    for pieces in channels.equal_chunks:
        for piece in pieces[1:]:
            demand(piece, pieces[0], 0.0)
    for group in channels.groups:
        for stratum in np.unique(group.strata):
            classes = group.classes[group.strata == stratum]
            demand(classes, none, max(1, round(share * len(classes))))
    for labels in channels.tensors.values():
        for classes in labels:
            demand(none if classes is None else classes, none, 0 if classes is None else max(1, len(classes) - 1))
    found = milp(
        -np.random.default_rng(seed).uniform(0.5, 1.0, count),
        constraints=LinearConstraint(np.stack(rows), 0.0, np.array(high)),
        integrality=np.ones(count, dtype=np.int64),
        bounds=Bounds(0, channels.removable.astype(float)),
    )
    assert found.x is not None
    return np.asarray(np.round(found.x) > 0)


def plan_of(channels: Channels, removed: Mask, example: Any) -> Plan:
    groups = tuple(
        GroupPlan(
            name=group.name,
            size=group.size,
            kept=tuple(int(j) for j in np.flatnonzero(~removed[group.classes])),
            slices=group.slices,
            reason=group.reason,
        )
        for group in channels.groups
    )
    return Plan(groups=groups, examples=tuple(describe_example(each) for each in as_examples(example)))
