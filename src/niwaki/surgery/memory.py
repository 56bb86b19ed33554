"""What a cut model remembers: its plans, as JSON in one attribute of the root module."""

from torch import nn

from niwaki.records import Plan as PlanRecord
from niwaki.surgery.wrappers import unwrap

__all__ = ["ATTRIBUTE", "recall", "remember"]

ATTRIBUTE = "niwaki_plans"
"""Name of the attribute: a tuple of JSON texts, oldest first. Being no tensor it stays out of the state dict, and
`copy.deepcopy` copies it with the module."""


def remember(model: nn.Module, plan: PlanRecord) -> None:
    """Append a plan to those that a model remembers.

    Args:
        model: The cut model, changed in place.
        plan: The plan it was cut by.
    """
    root = unwrap(model)
    root.__dict__[ATTRIBUTE] = (*recall(root), plan.to_json())


def recall(model: nn.Module) -> tuple[str, ...]:
    """Return the plans that a model remembers, as JSON, oldest first.

    Args:
        model: Any module, wrapped or not.

    Returns:
        One text for each cut; empty for a model that was never cut.
    """
    return tuple(unwrap(model).__dict__.get(ATTRIBUTE, ()))
