"""From scores to a choice: allocate, meet the budget or go one step towards it, and count what is left."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.conv import _ConvNd

from niwaki.errors import BudgetError
from niwaki.graph import Channels, planned_size
from niwaki.methods.prune.allocation import Allocation, allocate
from niwaki.methods.prune.budget import Counts, Target, fill, meet
from niwaki.methods.prune.criteria import Scores
from niwaki.methods.prune.keeping import least_widths
from niwaki.methods.prune.limits import Trial, shrink
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.sides import read_sides
from niwaki.methods.prune.storage import Storage
from niwaki.methods.prune.strata import Rules, read_layout
from niwaki.methods.prune.subject import Subject
from niwaki.methods.prune.whole import Outcome, why_nothing_goes
from niwaki.records.base import RecordBase
from niwaki.settings import Budget

__all__ = ["Choice", "Dense", "Problem", "Round", "choose", "filled", "output_dims", "smallest"]


class Dense(RecordBase):
    """The size of a model before its first round.

    Attributes:
        channels: Channels of the groups that can give some.
        params: Parameters.
        macs: Multiply-accumulates of one forward pass of every example.
        bytes: Bytes of parameters and saved buffers.
        shapes: Tensor to shape.
    """

    channels: int
    params: int
    macs: int
    bytes: int = 0
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Round:
    """Which of several rounds is planned.

    Attributes:
        number: The round, from 1.
        of: The number of rounds.
        dense: The model before the first of them, None in the first.
        remove: How many channels go, or a share of those the dense model has; None goes as far towards the budget as
            the round's number says. The last round goes all the way.
        gone: Channels that went in the rounds before.
    """

    number: int = 1
    of: int = 1
    dense: Dense | None = None
    remove: int | float | None = None
    gone: int = 0

    @property
    def steps_by_channels(self) -> bool:
        """Whether this round removes a number of channels."""
        return self.remove is not None and self.number < self.of

    def due(self, channels: int) -> int:
        """Return how many channels are to go in this round: what the schedule says by now, less what has gone.

        Where widths are rounded, a round takes a whole step, and then nothing is due until the schedule has caught up.

        Args:
            channels: Those that the dense model could give.
        """
        assert self.remove is not None
        each = self.remove * channels if isinstance(self.remove, float) else self.remove
        return max(round(self.number * each) - self.gone, 0)


class Problem(NamedTuple):
    """What is to be chosen from: a model's channels that can go, by their scores, for a round of a selection."""

    channels: Channels
    scores: Scores
    subject: Subject
    selection: Selection
    turn: Round


class Choice(NamedTuple):
    """What stays, how large that is, and whether the budget is met."""

    allocation: Allocation
    keep: NDArray[np.bool_]
    sizes: dict[str, int]
    dense: Dense
    met: bool


def choose(problem: Problem) -> Choice:
    """Choose the channels that stay.

    Args:
        problem: Channels, scores, model, selection and round.

    Returns:
        The choice.

    Raises:
        BudgetError: When the budget is out of reach, or the limits allow nothing.
        ContractError: When a least width is asked of what the model does not have.
        SettingError: When limits and tasks don't fit.
        DataError: When a task with a limit has no label.
    """
    allocation, sizes, dense = _measured(problem)
    budget = problem.selection.budget
    counts, met = _within_limits(problem, sizes) if budget is None else _within(budget, problem, sizes, dense)
    return Choice(allocation, allocation.keep(counts), sizes.of(counts), dense, met)


def smallest(problem: Problem) -> Choice:
    """Choose the smallest widths that a selection allows, whatever its goal."""
    allocation, sizes, dense = _measured(problem)
    least = allocation.counts(0.0)
    return Choice(allocation, allocation.keep(least), sizes.of(least), dense, met=True)


def filled(problem: Problem, weigh: Callable[[NDArray[np.bool_]], float], allowed: float) -> Choice:
    """Choose the largest share whose weight is allowed, whatever the goal.

    Args:
        problem: Channels, scores, model, selection and round.
        weigh: Gives a choice of classes a weight.
        allowed: The largest; at least that of the smallest widths.

    Returns:
        The choice.
    """
    allocation, sizes, dense = _measured(problem)
    counts = fill(allocation, lambda each: weigh(allocation.keep(each)), allowed)
    return Choice(allocation, allocation.keep(counts), sizes.of(counts), dense, met=True)


def _measured(problem: Problem) -> tuple[Allocation, "_Sizes", Dense]:
    allocation = _allocation(problem)
    sizes = _Sizes(problem.channels, allocation, Storage(problem.subject.model, problem.channels))
    whole = sizes.of(allocation.counts(1.0))
    return allocation, sizes, problem.turn.dense or Dense(**whole, shapes=dict(problem.channels.traced.shapes))


def _within_limits(problem: Problem, sizes: "_Sizes") -> tuple[Counts, bool]:
    subject = problem.subject
    assert subject.calibration is not None
    trial = Trial.of(subject.model, problem.channels, subject.calibration, problem.selection.limits)
    return shrink(sizes.allocation, trial, lambda each: sizes.of(each)["macs"]), True


def _within(budget: Budget, problem: Problem, sizes: "_Sizes", dense: Dense) -> tuple[Counts, bool]:
    """Meet the budget, or go one step towards it; say whether it is met."""
    turn, allocation = problem.turn, sizes.allocation
    progress = 1.0 if turn.remove is not None else turn.number / turn.of
    target = Target(budget, getattr(dense, budget.kind), progress)

    def size_of(counts: Counts) -> int:
        return sizes.of(counts)[budget.kind]

    _require_something(problem, allocation, short=size_of(allocation.counts(1.0)) > target.allowed or _empty(target))
    counts = _one_step(turn, allocation, sizes, dense)
    if counts is not None and size_of(counts) > target.allowed:
        return counts, False
    return meet(allocation, size_of, target), progress == 1.0


def _one_step(turn: Round, allocation: Allocation, sizes: "_Sizes", dense: Dense) -> Counts | None:
    """Take away what is due; None where that is not asked for, or none can go."""
    if not turn.steps_by_channels:
        return None
    whole, least = (sizes.of(allocation.counts(share))["channels"] for share in (1.0, 0.0))
    if least == whole:
        return None
    return fill(allocation, lambda each: sizes.of(each)["channels"], max(whole - turn.due(dense.channels), least))


def _allocation(problem: Problem) -> Allocation:
    selection, channels, dense = problem.selection, problem.channels, problem.turn.dense
    rules = Rules(
        selection.round_to,
        max(selection.floor, selection.round_to),
        dense.shapes if dense else dict(channels.traced.shapes),
        _group_widths(problem.subject.model),
        least_widths(problem.subject.model, selection.widths, read_sides(channels).rows) if selection.widths else {},
    )
    return allocate(read_layout(channels, rules), problem.scores, selection.allocation)


def _empty(target: Target) -> bool:
    return target.dense == 0 and target.budget.amount < 1


def _require_something(problem: Problem, allocation: Allocation, *, short: bool) -> None:
    """Refuse a budget that asks for less of a model of which nothing can go, and say why."""
    if not short or allocation.counts(0.0) != allocation.counts(1.0):
        return
    stays = np.ones(problem.channels.count, dtype=np.bool_)
    why = why_nothing_goes(Outcome(problem.channels, stays, allocation.reasons(), output_dims(problem.subject.model)))
    raise BudgetError(
        f"{problem.selection.budget} is out of reach: no group of channels can shrink ({why}); lower round_to or "
        "floor, keep fewer layers, or give the part of the model that has layers between its input and its outputs"
    )


@dataclass
class _Sizes:
    """Channels, parameters, MACs and bytes of a choice, each computed once."""

    channels: Channels
    allocation: Allocation
    storage: Storage
    known: dict[bytes, dict[str, int]] = field(default_factory=dict)

    def of(self, counts: Counts) -> dict[str, int]:
        keep = self.allocation.keep(counts)
        key = keep.tobytes()
        if key not in self.known:
            params, macs = planned_size(self.channels, keep)
            free = self.allocation.free_channels(counts)
            self.known[key] = {"channels": free, "params": params, "macs": macs, "bytes": self.storage.bytes(keep)}
        return self.known[key]


def _group_widths(model: nn.Module) -> frozenset[tuple[str, int]]:
    """Return the dimensions that count channels inside one group of a grouped convolution."""
    return frozenset(
        (f"{name}.weight" if name else "weight", 1)
        for name, module in model.named_modules()
        if isinstance(module, _ConvNd) and module.groups > 1
    )


def output_dims(model: nn.Module) -> dict[str, int]:
    """Return each weight's dimension of output channels."""
    second = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Embedding) or (isinstance(module, _ConvNd) and module.transposed)
    }
    return {name: int(id(weight) in second) for name, weight in model.named_parameters() if weight.ndim > 1}
