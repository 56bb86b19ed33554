"""From a model and a selection to a plan: trace, score, choose, write down."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from niwaki.contract import as_examples, describe_example
from niwaki.errors import BudgetError, SurgeryError
from niwaki.graph import Channels
from niwaki.methods.prune.choosing import Choice, Dense, Problem, Round, choose, output_dims
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.subject import Subject
from niwaki.methods.prune.whole import Outcome, outcomes
from niwaki.surgery import LiteralSize, Plan, cut, find_literal_sizes

__all__ = ["Planned", "WrittenSizesError", "out_of_reach", "plan_round"]

Pick = Callable[[Problem], Choice]


class WrittenSizesError(BudgetError):
    """The goal is out of reach as long as the model's own classes have to run: numbers stand in their Python code."""


def out_of_reach(text: str, written: tuple[str, ...]) -> BudgetError:
    """Make the error that says a goal is out of reach, and whether the model's Python code is what keeps it there.

    Args:
        text: What is out of reach.
        written: Which sizes in the code kept channels.

    Examples:
        >>> out_of_reach("macs=0.1 is too little", ())
        BudgetError('macs=0.1 is too little')
    """
    if not written:
        return BudgetError(text)
    more = f" and {len(written) - 1} more" if len(written) > 1 else ""
    return WrittenSizesError(f"{text}; channels stay because {written[0]}{more} (form='graph' frees them)")


class Planned(NamedTuple):
    """A plan with the channel classes it was made on, the dense model's size, and what the small one has to have.

    `keep` says by class id what stays; `written` says which sizes in the model's Python code kept channels.
    """

    plan: Plan
    channels: Channels
    dense: Dense
    params: int
    met: bool
    keep: NDArray[np.bool_]
    written: tuple[str, ...] = ()

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


def plan_round(subject: Subject, selection: Selection, turn: Round | None = None, pick: Pick = choose) -> Planned:
    """Plan one round of pruning.

    Args:
        subject: The model, with everything that its criterion has to see.
        selection: What is chosen, and how.
        turn: The round, when there are several.
        pick: Chooses what stays.

    Returns:
        The plan, the channel classes, and the dense model's size.

    Raises:
        BudgetError: When the budget is out of reach; a `WrittenSizesError` where it is not for a graph.
        ContractError: When the criterion has seen too little or gives no worth, or ``widths`` names what the model does
            not have.
    """
    turn, model = turn or Round(), subject.model
    scores = subject.scores(selection.criterion)
    notes = selection.criterion.notes(subject.channels, subject.evidence)
    channels, chosen, written = _chosen(Problem(subject.channels, scores, subject, selection, turn), pick)
    groups, frozen = outcomes(Outcome(channels, chosen.keep, chosen.allocation.reasons(), output_dims(model)))
    unreached = channels.traced.unreached
    plan = Plan(
        groups=groups,
        frozen=frozen,
        examples=tuple(describe_example(each) for each in as_examples(subject.example)),
        asked=_asked(selection, turn),
        reached=_reached(chosen),
        form=selection.form.replace("auto", ""),
        attention=selection.attention,
        sizes={piece.tensor: channels.traced.shapes[piece.tensor] for group in groups for piece in group.slices},
        notes=(*channels.traced.notes, *([unreached] if unreached else []), *notes),
    )
    return Planned(plan, channels, chosen.dense, chosen.sizes["params"], chosen.met, chosen.keep, written)


def _chosen(problem: Problem, pick: Pick) -> tuple[Channels, Choice, tuple[str, ...]]:
    """Choose; unless a graph is asked for, channels whose number is written in Python code stay."""
    chosen, written = pick(problem), tuple[str, ...]()
    while problem.selection.form != "graph" and (faults := _written_sizes(problem, chosen)):
        channels = problem.channels
        for fault in faults:
            channels = channels.freeze(fault.classes, str(fault))
        problem, written = problem._replace(channels=channels), (*written, *map(str, faults))
        try:
            chosen = pick(problem)
        except BudgetError as error:
            raise out_of_reach(str(error), written) from error
    return problem.channels, chosen, written


def _written_sizes(problem: Problem, chosen: Choice) -> list[LiteralSize]:
    found = find_literal_sizes(problem.subject.model, problem.channels, ~chosen.keep)
    return [each for each in found if len(each.classes)]


def _reached(chosen: Choice) -> dict[str, float]:
    dense = dict(chosen.dense)
    return {name: size / dense[name] if dense[name] else 1.0 for name, size in chosen.sizes.items()}


def _asked(selection: Selection, turn: Round) -> str:
    goal = str(selection.budget).removeprefix("Budget(").removesuffix(")")
    if selection.budget is None:
        goal = ", ".join(f"{task} loses at most {limit:.3g}" for task, limit in selection.limits.items())
    options = [f"{name}={value}" for name, value in selection.criterion if name != "kind"]
    criterion = f"{selection.criterion.kind}({', '.join(options)})"
    others = [
        f"{name}={value}" for name in ("allocation", "scope") if (value := getattr(selection, name)) not in _PLAIN
    ]
    least = [f"widths={dict(selection.widths)}"] if selection.widths else []
    rounds = f"round {turn.number}" if turn.steps_by_channels else f"round {turn.number} of {turn.of}"
    if turn.steps_by_channels:
        rounds += (
            f", {turn.remove:.0%} of the channels" if isinstance(turn.remove, float) else f", {turn.remove} channels"
        )
    sizes = [f"round_to={selection.round_to}", f"floor={selection.floor}"]
    return ", ".join([goal, f"criterion={criterion}", *others, *sizes, *least, *([rounds] if turn.of > 1 else [])])


_PLAIN = ("uniform", "all")
