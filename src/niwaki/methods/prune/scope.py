"""Scope: which channels may go, by the tasks that use them."""

from typing import Literal

import numpy as np

from niwaki.graph import Channels, find_parts
from niwaki.methods.prune.sides import read_sides

__all__ = ["Scope", "inside"]

Scope = Literal["all", "trunk", "heads"]


def inside(channels: Channels, scope: Scope) -> Channels:
    """Freeze what lies outside a scope.

    A channel belongs where it is made: to the trunk when two or more tasks use one of its layers, to a head when only
    one does. With a single task everything is trunk.

    Args:
        channels: The channel classes.
        scope: ``"trunk"``, ``"heads"`` or ``"all"``.

    Returns:
        Channels with the same class ids, of which only those inside can go.
    """
    if scope == "all":
        return channels
    of = find_parts(channels.traced).of
    users: dict[int, set[str]] = {}
    for name, dim in read_sides(channels).rows:
        labels = channels.tensors[name][dim]
        for label in [] if labels is None else np.unique(labels).tolist():
            users.setdefault(label, set()).update(of[name])
    single = len(channels.traced.tasks) == 1
    heads = np.zeros(channels.count, dtype=np.bool_)
    heads[[label for label, tasks in users.items() if len(tasks) == 1 and not single]] = True
    outside = channels.removable & (heads if scope == "trunk" else ~heads)
    return channels.freeze(np.flatnonzero(outside), f"outside the scope {scope!r}")
