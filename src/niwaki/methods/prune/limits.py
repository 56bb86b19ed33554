"""Limits: the smallest network that loses no more than so much on each task (after PAGCP, Ye et al., TPAMI 2023)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np
from numpy.typing import NDArray
from torch import nn

from niwaki.errors import BudgetError, DataError, SettingError
from niwaki.graph import Channels
from niwaki.methods.calibration import Calibration
from niwaki.methods.prune.allocation import Allocation
from niwaki.methods.prune.budget import Counts
from niwaki.methods.prune.thinning import Thinning

__all__ = ["Trial", "limits_of", "shrink"]

_SHARES = tuple(round(1 - 0.05 * step, 2) for step in range(1, 21))
"""The shares of a layer that are tried, largest first."""

_LITTLE = 1e-3
"""The least strain that the order looks at: below it a layer counts as insensitive."""


def limits_of(limits: Mapping[str, float], tasks: list[str]) -> dict[str, float]:
    """Return each task's limit.

    Args:
        limits: Task names or patterns to the share by which the loss may rise; a name goes before a pattern.
        tasks: The names of the tasks.

    Returns:
        Task to limit, at least 0.

    Raises:
        SettingError: When a task has no limit, or a name fits no task.

    Examples:
        >>> limits_of({"depth": 0.02, "*": 0.05}, ["depth", "normals"])
        {'depth': 0.02, 'normals': 0.05}
    """
    found = {}
    for task in tasks:
        fitting = [key for key in limits if key == task] or [key for key in limits if fnmatchcase(task, key)]
        if not fitting:
            raise SettingError(f"limits: the task {task!r} has none; add one, or '*' for all that are not named")
        found[task] = limits[fitting[0]]
    stranger = next((key for key in limits if not any(fnmatchcase(task, key) for task in tasks)), None)
    if stranger is not None:
        raise SettingError(f"limits: {stranger!r} is none of the tasks {', '.join(tasks)}")
    return found


@dataclass(frozen=True)
class Trial:
    """Says how much of the tasks' limits a choice of channels uses up.

    Attributes:
        thinning: Takes losses without some channels.
        dense: Task to the dense model's mean loss.
        limits: Task to the share by which it may rise.
    """

    thinning: Thinning
    dense: Mapping[str, float]
    limits: Mapping[str, float]

    @classmethod
    def of(cls, model: nn.Module, channels: Channels, calibration: Calibration, limits: Mapping[str, float]) -> "Trial":
        """Measure the dense model.

        Raises:
            SettingError: When limits and tasks don't fit.
            DataError: When a task has no label in any of the batches.
        """
        names = [task.name for task in calibration.tasks]
        each, dense = limits_of(limits, names), calibration.mean_losses(model)
        blank = [name for name in names if name not in dense]
        if blank:
            raise DataError(
                f"the calibration batches hold no label of {', '.join(blank)}, so its limit can't be kept; give more "
                "of them (`calibration_batches`)"
            )
        return cls(Thinning(model, channels, calibration), dense, each)

    def strain(self, keep: NDArray[np.bool_]) -> float:
        """Return how much of its limit the worst task uses up without the other channels: 1 is all of it."""
        found = self.thinning.losses(~keep)
        return max(_used(found[task] - loss, self.limits[task] * abs(loss)) for task, loss in self.dense.items())


def _used(rise: float, allowed: float) -> float:
    if rise <= 0:
        return 0.0
    return rise / allowed if allowed > 0 and rise < float("inf") else float("inf")  # a loss that is NaN is inf here


def shrink(allocation: Allocation, trial: Trial, size_of: Callable[[Counts], int]) -> Counts:
    """Shrink layer by layer as long as every task stays within its limit.

    First each layer's own first step shows how sensitive it is. Then, in turns, those that save most for what they use
    of the limits go first: each gives the next twentieth of its channels if the network as it then stands, with all
    that went before, still keeps the limits; one that can't is left as it is for good. The result is a choice of which
    no single layer can give more.

    Args:
        allocation: Turns what each stratum should keep into channels kept.
        trial: Says how much of the limits a choice uses.
        size_of: Returns the size of a choice; what a layer saves decides its place in the order.

    Returns:
        For each block of the allocation, stratum index to channels kept.

    Raises:
        BudgetError: When the limits allow nothing to go.
    """
    whole = allocation.counts(1.0)
    state = _State(whole, [_ladder(allocation, index) for index in range(len(allocation.blocks))])
    strains = {index: trial.strain(allocation.keep(state.with_next(index))) for index in state.open}
    while state.open:
        savings = {index: size_of(state.chosen) - size_of(state.with_next(index)) for index in state.open}
        for index in sorted(savings, key=lambda index: (-savings[index] / max(strains[index], _LITTLE), index)):
            tried = state.with_next(index)
            if trial.strain(allocation.keep(tried)) <= 1:
                state.take(index)
            else:
                state.closed.add(index)
    if state.chosen == whole:
        told = ", ".join(f"{task} {each:g}" for task, each in trial.limits.items())
        raise BudgetError(
            f"nothing can go within the limits ({told}): every layer's first step takes some task past its own; allow "
            "more, lower round_to, or calibrate on more batches"
        )
    return state.chosen


@dataclass
class _State:
    """What is chosen, and the smaller choices that each block has left."""

    chosen: Counts
    ladders: list[list[dict[int, int]]]
    closed: set[int] = field(default_factory=set)

    @property
    def open(self) -> list[int]:
        return [index for index, ladder in enumerate(self.ladders) if ladder and index not in self.closed]

    def with_next(self, index: int) -> Counts:
        return [*self.chosen[:index], self.ladders[index][0], *self.chosen[index + 1 :]]

    def take(self, index: int) -> None:
        self.chosen = self.with_next(index)
        self.ladders[index] = self.ladders[index][1:]


def _ladder(allocation: Allocation, index: int) -> list[dict[int, int]]:
    """Return the smaller and smaller choices of a block."""
    block, rungs = allocation.blocks[index], [allocation.counts(1.0)[index]]
    sizes = [stratum.size for stratum in allocation.layout.strata]
    for share in _SHARES:
        found = block.counts([share * size for size in sizes])
        if sum(found.values()) < sum(rungs[-1].values()):
            rungs.append(found)
    return rungs[1:]
