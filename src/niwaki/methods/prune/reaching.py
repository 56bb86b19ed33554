"""Reaching a goal: in counts or in time, with the model's own classes, and with its graph where these can't."""

from niwaki.methods.prune.choosing import Round
from niwaki.methods.prune.latency import plan_in_time
from niwaki.methods.prune.selecting import Planned, WrittenSizesError, plan_round
from niwaki.methods.prune.settings import Selection
from niwaki.methods.prune.subject import Subject

__all__ = ["plan_goal"]


def plan_goal(subject: Subject, selection: Selection, turn: Round | None = None) -> Planned:
    """Plan a round for whatever goal is selected.

    Args:
        subject: The model, with everything that its criterion has to see.
        selection: What is chosen, and how.
        turn: The round, when there are several.

    Returns:
        The plan. Where ``form`` is ``"auto"`` and sizes written in the model's Python code keep the goal out of reach,
        it is one for the graph, with a note that says so.

    Raises:
        BudgetError: When the goal is out of reach.
        ContractError: As `plan_round`.
        MeasureError: When the runtime of a latency can't run the model.
    """
    plan = plan_in_time if selection.in_time else plan_round
    try:
        return plan(subject, selection, turn or Round())
    except WrittenSizesError as error:
        if selection.form == "module":
            raise
        found = plan(subject, selection.model_copy(update={"form": "graph"}), turn or Round())
        note = f"planned as a graph, since as modules {error}"
    return found._replace(plan=found.plan.model_copy(update={"notes": (*found.plan.notes, note)}))
