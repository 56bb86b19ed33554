"""From a model and a selection to a plan: trace, score, choose, write down."""

from typing import NamedTuple

from torch import nn

from niwaki.contract import as_examples, describe_example
from niwaki.errors import SurgeryError
from niwaki.graph import Channels
from niwaki.methods.prune.choosing import Choice, Dense, Problem, Round, choose, output_dims
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.subject import Subject
from niwaki.methods.prune.whole import Outcome, outcomes
from niwaki.surgery import Plan, cut, find_literal_sizes

__all__ = ["Planned", "plan_round"]


class Planned(NamedTuple):
    """A plan with the channel classes it was made on, the dense model's size, and what the small one has to have."""

    plan: Plan
    channels: Channels
    dense: Dense
    params: int
    met: bool

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


def plan_round(subject: Subject, selection: Selection, turn: Round | None = None) -> Planned:
    """Plan one round of pruning.

    Args:
        subject: The model, with everything that its criterion has to see.
        selection: What is chosen, and how.
        turn: The round, when there are several.

    Returns:
        The plan, the channel classes, and the dense model's size.

    Raises:
        BudgetError: When the budget is out of reach.
        ContractError: When the criterion has seen too little, or ``widths`` names what the model does not have.
    """
    turn, model, channels = turn or Round(), subject.model, subject.channels
    scores = selection.criterion.score(model, channels, subject.evidence)
    notes = selection.criterion.notes(channels, subject.evidence)
    chosen = choose(Problem(channels, scores, subject, selection, turn))
    while faults := [each for each in find_literal_sizes(model, channels, ~chosen.keep) if len(each.classes)]:
        for fault in faults:
            channels = channels.freeze(fault.classes, str(fault))
        chosen = choose(Problem(channels, scores, subject, selection, turn))
    groups, frozen = outcomes(Outcome(channels, chosen.keep, chosen.allocation.reasons(), output_dims(model)))
    unreached = channels.traced.unreached
    plan = Plan(
        groups=groups,
        frozen=frozen,
        examples=tuple(describe_example(each) for each in as_examples(subject.example)),
        asked=_asked(selection, turn),
        reached=_reached(chosen),
        notes=(*channels.traced.notes, *([unreached] if unreached else []), *notes),
    )
    return Planned(plan, channels, chosen.dense, chosen.sizes["params"], chosen.met)


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
