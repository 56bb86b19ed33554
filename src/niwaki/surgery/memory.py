"""What a model remembers of its way here: cuts and other steps, as JSON in one attribute of the root module."""

from collections.abc import Iterable

from torch import nn

from niwaki.records import Plan as PlanRecord
from niwaki.records.step import StepRecord
from niwaki.surgery.wrappers import unwrap

__all__ = ["ATTRIBUTE", "cuts_among", "recall", "remember"]

ATTRIBUTE = "niwaki_plans"
"""Name of the attribute: a tuple of JSON texts, oldest first. Being no tensor it stays out of the state dict, and
`copy.deepcopy` copies it with the module."""


def remember(model: nn.Module, step: PlanRecord | StepRecord) -> None:
    """Append a step to those that a model remembers.

    Args:
        model: The changed model.
        step: The plan it was cut by, or what else was done to it.
    """
    root = unwrap(model)
    root.__dict__[ATTRIBUTE] = (*recall(root), step.to_json())


def recall(model: nn.Module) -> tuple[str, ...]:
    """Return the steps that a model remembers, as JSON, oldest first.

    Args:
        model: Any module, wrapped or not.

    Returns:
        One text for each cut or other step; empty for a model that was never changed.
    """
    return tuple(unwrap(model).__dict__.get(ATTRIBUTE, ()))


def cuts_among(steps: Iterable[str]) -> tuple[str, ...]:
    """Return the plans of cuts among some steps.

    Args:
        steps: Steps as JSON, as `recall` gives them.

    Returns:
        One text for each cut, in the same order.

    Examples:
        >>> cuts_among(['{"step":"banks","banks":[]}', '{"groups":[]}'])
        ('{"groups":[]}',)
    """
    return tuple(text for text in steps if not text.startswith('{"step":'))
