"""Optimizers and averaged models that follow a cut: the kept channels carry their state over."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import SurgeryError
from niwaki.records import Plan as PlanRecord
from niwaki.surgery.banks import unused_of_banks
from niwaki.surgery.cutting import cut
from niwaki.surgery.plan import plans_of
from niwaki.surgery.tensors import Places, named_tensors, removed_by, take
from niwaki.surgery.wrappers import unwrap

__all__ = ["follow", "follow_ema"]


def follow(optimizer: Optimizer, before: nn.Module, after: nn.Module, plan: PlanRecord) -> None:
    """Point an optimizer at the parameters of a cut model, with the state of the channels that stay.

    The optimizer object stays, so schedulers and gradient scalers that hold it go on; its groups keep their order and
    options. Momenta and moments of kept channels are carried over bit for bit, step counts as they are. Parameters
    that are not the model's, such as a balancer's, are left alone.

    Args:
        optimizer: Any optimizer whose state has, for each parameter, tensors of the parameter's shape (or of size 1
            along some dimensions, as Adafactor's) and single numbers.
        before: The model whose parameters the optimizer holds, wrapped or not.
        after: The cut model, wrapped or not.
        plan: The plan that led from one to the other.

    Raises:
        SurgeryError: When the optimizer holds no parameter of `before`, or keeps a state whose shape says nothing of
            channels; the parameter is named and the optimizer is left as it was.

    Examples:
        >>> import torch
        >>> from niwaki.records import GroupPlan, Slice
        >>> model = nn.Sequential(nn.Linear(1, 2, bias=False), nn.Linear(2, 1, bias=False))
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> model(torch.ones(1, 1)).backward()
        >>> optimizer.step()
        >>> places = [Slice(tensor="0.weight", dim=0, positions=((0,), (1,)))]
        >>> places += [Slice(tensor="1.weight", dim=1, positions=((0,), (1,)))]
        >>> plan = PlanRecord(groups=(GroupPlan(name="0", size=2, kept=(1,), slices=tuple(places)),))
        >>> small = cut(model, plan, verify=False)
        >>> follow(optimizer, model, small, plan)
        >>> optimizer.state[small[0].weight]["momentum_buffer"].shape
        torch.Size([1, 1])
    """
    moved = _moves(before, after)
    held = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if not any(id(parameter) in moved for parameter in held):
        raise SurgeryError(
            "the optimizer holds no parameter of the model before the cut; give the model it was built for as `before`"
        )
    removed = removed_by(plan)
    removed |= unused_of_banks(before, removed)
    states = {
        id(parameter): _cut_state(moved[id(parameter)][0], parameter, optimizer.state[parameter], removed)
        for parameter in held
        if id(parameter) in moved and parameter in optimizer.state
    }
    for group in optimizer.param_groups:
        group["params"][:] = [moved[id(each)][1] if id(each) in moved else each for each in group["params"]]
    for parameter in held:
        if id(parameter) in states:
            del optimizer.state[parameter]
            optimizer.state[moved[id(parameter)][1]] = states[id(parameter)]


def follow_ema(averaged: nn.Module, after: nn.Module) -> nn.Module:
    """Cut an averaged copy of a model as the model was cut.

    Args:
        averaged: A copy of the model before one or several cuts, such as the ``module`` of torch's `AveragedModel`; it
            is left as it is.
        after: The cut model.

    Returns:
        The copy, cut by the plans that `after` remembers and the copy does not.

    Raises:
        SurgeryError: When a plan does not fit, or the copy does not come out in the shape of `after`: something else
            was changed as well.

    Examples:
        >>> from torch.optim.swa_utils import AveragedModel
        >>> model = nn.Linear(2, 2)
        >>> averaged = AveragedModel(model)
        >>> small = cut(model, PlanRecord(groups=()), verify=False)
        >>> averaged.module = follow_ema(averaged.module, small)
        >>> averaged.module
        Linear(in_features=2, out_features=2, bias=True)
    """
    copy = averaged
    for plan in plans_of(after)[len(plans_of(averaged)) :]:
        copy = cut(copy, plan, verify=False)
    mine, theirs = _shapes(copy), _shapes(after)
    if mine != theirs:
        name = next(each for each in (*theirs, *mine) if mine.get(each) != theirs.get(each))
        raise SurgeryError(
            f"cutting the averaged copy by the model's plans leaves {name!r} with shape {mine.get(name)}, in the model "
            f"it is {theirs.get(name)}; begin a new average where layers were replaced"
        )
    return copy


def _shapes(model: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in named_tensors(unwrap(model)).items()}


def _moves(before: nn.Module, after: nn.Module) -> dict[int, tuple[str, nn.Parameter]]:
    """Map each old parameter to its name and its successor."""
    old, new = unwrap(before), named_tensors(unwrap(after))
    found: dict[int, tuple[str, nn.Parameter]] = {}
    for name, parameter in old.named_parameters():
        successor = new.get(name)
        if not isinstance(successor, nn.Parameter):
            raise SurgeryError(f"the cut model has no parameter {name!r}; it is not a cut of the model before")
        found[id(parameter)] = (name, successor)
    return found


def _cut_state(
    name: str, parameter: Tensor, state: Mapping[str, Any], removed: Mapping[str, Mapping[int, Places]]
) -> dict[str, Any]:
    dims = removed.get(name, {})
    return {key: _cut_entry((name, key), value, parameter, dims) for key, value in state.items()}


def _cut_entry(place: tuple[str, str], value: Any, parameter: Tensor, dims: Mapping[int, Places]) -> Any:
    if not isinstance(value, Tensor) or not dims or value.ndim == 0:
        return value
    if value.ndim == parameter.ndim and all(
        size in {1, whole} for size, whole in zip(value.shape, parameter.shape, strict=True)
    ):
        return take(value, {dim: gone for dim, gone in dims.items() if value.shape[dim] == parameter.shape[dim] > 1})
    if value.numel() == 1:
        return value
    name, key = place
    raise SurgeryError(
        f"the optimizer keeps {key!r} of {name!r} as a tensor of shape {tuple(value.shape)}, which says nothing of the "
        f"channels of a parameter of shape {tuple(parameter.shape)}; build the optimizer anew after the cut"
    )
