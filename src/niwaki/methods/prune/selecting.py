"""From a model and a selection to a plan: trace, score, allocate, meet the budget, write down."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.nn.modules.conv import _ConvNd

from niwaki.contract import as_examples, describe_example
from niwaki.errors import BudgetError, SurgeryError
from niwaki.graph import Channels, find_channels, planned_size, trace
from niwaki.methods.prune.allocation import Allocation, allocate
from niwaki.methods.prune.budget import Counts, Target, meet
from niwaki.methods.prune.criteria import Scores
from niwaki.methods.prune.keeping import kept_parameters
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.strata import Rules, read_layout
from niwaki.methods.prune.whole import Outcome, outcomes, why_nothing_goes
from niwaki.records.base import RecordBase
from niwaki.surgery import Plan, cut, find_literal_sizes

__all__ = ["Dense", "Planned", "Round", "plan_round"]


class Dense(RecordBase):
    """The size of a model before its first round.

    Attributes:
        channels: Channels of the groups that can give some.
        params: Parameters.
        macs: Multiply-accumulates of one forward pass of every example.
        shapes: Tensor to shape.
    """

    channels: int
    params: int
    macs: int
    shapes: dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Round:
    """Which of several rounds is planned.

    Attributes:
        number: The round, from 1.
        of: The number of rounds.
        dense: The model before the first of them, None in the first.
    """

    number: int = 1
    of: int = 1
    dense: Dense | None = None


class Planned(NamedTuple):
    """A plan with the channel classes that it was made on, the dense model's size and the small one's parameters."""

    plan: Plan
    channels: Channels
    dense: Dense
    params: int

    def cut(self, model: nn.Module) -> nn.Module:
        """Cut the model that was planned for, and check its size.

        Raises:
            SurgeryError: When the small model has another number of parameters than was planned.
        """
        small = cut(model, self.plan, channels=self.channels)
        found = sum(parameter.numel() for parameter in small.parameters())
        if found != self.params:
            raise SurgeryError(
                f"the cut left {found:,} parameters where {self.params:,} were planned: the budget was not met as "
                "counted; cut the model that was planned for, or report this"
            )
        return small


def plan_round(
    model: nn.Module, example: Any, selection: Selection, *, tasks: list[str] | None = None, turn: Round | None = None
) -> Planned:
    """Plan one round of pruning.

    Args:
        model: The model; it stays as it is.
        example: A tensor, a tuple of positional inputs, a `niwaki.Example`, or a list of these.
        selection: What is chosen, and how.
        tasks: Names of the outputs, or None.
        turn: The round, when there are several.

    Returns:
        The plan, the channel classes, and the dense model's size.

    Raises:
        BudgetError: When the budget is out of reach.
        ContractError: When ``keep`` names what the model does not have.
    """
    turn = turn or Round()
    traced = trace(model, example, tasks=tasks)
    channels = find_channels(traced, keep=kept_parameters(model, selection.keep))
    scores = selection.criterion.score(model, channels)
    chosen = _choose(model, channels, scores, (selection, turn))
    while faults := [each for each in find_literal_sizes(model, channels, ~chosen.keep) if len(each.classes)]:
        for fault in faults:
            channels = channels.freeze(fault.classes, str(fault))
        chosen = _choose(model, channels, scores, (selection, turn))
    outcome = Outcome(channels, chosen.keep, _reasons(chosen.allocation), _output_dims(model))
    groups, frozen = outcomes(outcome)
    plan = Plan(
        groups=groups,
        frozen=frozen,
        examples=tuple(describe_example(each) for each in as_examples(example)),
        asked=_asked(selection, turn),
        reached=_reached(chosen),
        notes=(*traced.notes, *([traced.unreached] if traced.unreached else [])),
    )
    return Planned(plan, channels, chosen.dense, chosen.sizes["params"])


def _reached(chosen: "_Chosen") -> dict[str, float]:
    dense = dict(chosen.dense)
    return {name: size / dense[name] if dense[name] else 1.0 for name, size in chosen.sizes.items()}


class _Chosen(NamedTuple):
    allocation: Allocation
    keep: NDArray[np.bool_]
    sizes: dict[str, int]
    dense: Dense


def _choose(model: nn.Module, channels: Channels, scores: Scores, wish: tuple[Selection, Round]) -> _Chosen:
    """Meet the budget with the classes that may go."""
    selection, turn = wish
    shapes = turn.dense.shapes if turn.dense else dict(channels.traced.shapes)
    rules = Rules(selection.round_to, max(selection.floor, selection.round_to), shapes, _group_widths(model))
    allocation = allocate(read_layout(channels, rules), scores)
    sizes = _Sizes(channels, allocation)
    dense = turn.dense or Dense(**sizes.of(allocation.counts(1.0)), shapes=shapes)
    kind = selection.budget.kind
    target = Target(selection.budget, getattr(dense, kind), turn.number / turn.of)
    whole = allocation.counts(1.0)
    short = sizes.of(whole)[kind] > target.allowed or (target.dense == 0 and selection.budget.amount < 1)
    if short and allocation.counts(0.0) == whole:
        stays = np.ones(channels.count, dtype=np.bool_)
        why = why_nothing_goes(Outcome(channels, stays, _reasons(allocation), _output_dims(model)))
        raise BudgetError(
            f"{selection.budget} is out of reach: no group of channels can shrink ({why}); lower "
            "round_to or floor, keep fewer layers, or give the part of the model that has layers between its input "
            "and its outputs"
        )
    counts = meet(allocation, lambda counts: sizes.of(counts)[kind], target)
    return _Chosen(allocation, allocation.keep(counts), sizes.of(counts), dense)


@dataclass
class _Sizes:
    """Channels, parameters and MACs of a choice, each computed once."""

    channels: Channels
    allocation: Allocation
    known: dict[bytes, dict[str, int]] = field(default_factory=dict)

    def of(self, counts: Counts) -> dict[str, int]:
        keep = self.allocation.keep(counts)
        key = keep.tobytes()
        if key not in self.known:
            params, macs = planned_size(self.channels, keep)
            self.known[key] = {"channels": self.allocation.free_channels(counts), "params": params, "macs": macs}
        return self.known[key]


def _asked(selection: Selection, turn: Round) -> str:
    budget = str(selection.budget).removeprefix("Budget(").removesuffix(")")
    options = [f"{name}={value}" for name, value in selection.criterion if name != "kind"]
    criterion = f"{selection.criterion.kind}({', '.join(options)})"
    rounds = f", round {turn.number} of {turn.of}" if turn.of > 1 else ""
    return f"{budget}, criterion={criterion}, round_to={selection.round_to}, floor={selection.floor}{rounds}"


def _reasons(allocation: Allocation) -> NDArray[np.object_]:
    """Return, by class id, why the class was out of reach, or an empty text."""
    reasons = np.full(len(allocation.scores), "", dtype=object)
    for index, reason in allocation.stuck.items():
        reasons[allocation.layout.strata[index].classes] = reason
    return reasons


def _group_widths(model: nn.Module) -> frozenset[tuple[str, int]]:
    """Return the dimensions that count channels inside one group of a grouped convolution."""
    return frozenset(
        (f"{name}.weight" if name else "weight", 1)
        for name, module in model.named_modules()
        if isinstance(module, _ConvNd) and module.groups > 1
    )


def _output_dims(model: nn.Module) -> dict[str, int]:
    """Return each weight's dimension of output channels."""
    second = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, nn.Embedding) or (isinstance(module, _ConvNd) and module.transposed)
    }
    return {name: int(id(weight) in second) for name, weight in model.named_parameters() if weight.ndim > 1}
