"""Steps that a model remembers, done again on a fresh one: cuts, and whatever else changed its structure."""

import json
from collections.abc import Callable

from torch import nn

from niwaki.errors import SurgeryError
from niwaki.records import Plan
from niwaki.surgery.cutting import cut

__all__ = ["Replay", "replay", "replays"]

Replay = Callable[[nn.Module, str], nn.Module]
"""Takes a model, which stays as it is, and a step as JSON; returns the changed copy, which remembers the step."""

_REPLAYS: dict[str, Replay] = {}


def replays(step: str) -> Callable[[Replay], Replay]:
    """Return a decorator that files how a kind of step is done again.

    Args:
        step: The text in the record's field ``step``.

    Returns:
        A decorator that returns its argument unchanged.
    """

    def keep(function: Replay) -> Replay:
        assert step not in _REPLAYS, f"two ways to replay {step}"
        _REPLAYS[step] = function
        return function

    return keep


def replay(model: nn.Module, text: str) -> nn.Module:
    """Do a remembered step again, without proof: its weights are filled in afterwards.

    Args:
        model: The model as it was before the step; it is left as it is.
        text: What `recall` gave: a plan or another step, as JSON.

    Returns:
        The changed copy, which remembers the step.

    Raises:
        SurgeryError: When the step does not fit the model, or is of a kind that this Niwaki does not know.

    Examples:
        >>> replay(nn.Linear(2, 2), '{"groups": []}')
        Linear(in_features=2, out_features=2, bias=True)
    """
    kind = json.loads(text).get("step")
    if kind is None:
        return cut(model, Plan.from_json(text), verify=False)
    if kind not in _REPLAYS:
        raise SurgeryError(f"this Niwaki does not know the step {kind!r}: upgrade niwaki")
    return _REPLAYS[kind](model, text)
