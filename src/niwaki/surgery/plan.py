"""Plans that can be applied, and the plans that a model remembers."""

from torch import nn

from niwaki.records import Plan as PlanRecord
from niwaki.surgery.cutting import cut
from niwaki.surgery.memory import cuts_among, recall

__all__ = ["Plan", "plans_of"]


class Plan(PlanRecord):
    """Which channels of a model stay: plain data that prints, saves, loads, can be edited by hand, and applied.

    Examples:
        >>> import torch
        >>> from niwaki.records import GroupPlan, Slice
        >>> rows = Slice(tensor="0.weight", dim=0, positions=((0,), (1,)))
        >>> bias = Slice(tensor="0.bias", dim=0, positions=((0,), (1,)))
        >>> columns = Slice(tensor="1.weight", dim=1, positions=((0,), (1,)))
        >>> group = GroupPlan(name="0", size=2, kept=(1,), slices=(rows, bias, columns))
        >>> plan = Plan(groups=(group,))
        >>> plan.apply(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 1)), verify=False)
        Sequential(
          (0): Linear(in_features=3, out_features=1, bias=True)
          (1): Linear(in_features=1, out_features=1, bias=True)
        )
    """

    def apply(self, model: nn.Module, *, verify: bool = True) -> nn.Module:
        """Cut a model by this plan alone: the model it was made for, or another checkpoint of it.

        Args:
            model: The dense model; it is left as it is.
            verify: Whether the cut proves itself, which traces the model anew.

        Returns:
            The cut model, which remembers this plan.

        Raises:
            SurgeryError: When the plan does not fit the model, or the cut does not prove itself.
        """
        return cut(model, self, verify=verify)


def plans_of(model: nn.Module) -> list[Plan]:
    """Return the plans by which a model was cut.

    Args:
        model: Any module, wrapped or not.

    Returns:
        The plans, oldest first, with the attributes that each cut repaired; empty for a model that was never cut.

    Examples:
        >>> from torch import nn
        >>> plans_of(nn.Linear(2, 2))
        []
    """
    return [Plan.from_json(text) for text in cuts_among(recall(model))]
