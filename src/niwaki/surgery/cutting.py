"""The cut: a smaller model of the same classes and names, which gives the answers of the dense one silenced."""

import copy
from collections.abc import Iterable

import numpy as np
from torch import nn

from niwaki.errors import SurgeryError
from niwaki.graph import Channels, example_from_spec, find_channels, trace
from niwaki.records import Plan as PlanRecord
from niwaki.records import Repair
from niwaki.surgery.attributes import apply_repairs, find_repairs
from niwaki.surgery.fields import repair_fields
from niwaki.surgery.kept import Mask, positions_of
from niwaki.surgery.memory import remember
from niwaki.surgery.proof import Candidate, prove
from niwaki.surgery.tensors import Positions, cut_tensors, named_tensors, removed_by
from niwaki.surgery.wrappers import plain_name, rewrap, unwrap

__all__ = ["classes_removed_by", "cut", "operate"]


def cut(model: nn.Module, plan: PlanRecord, *, channels: Channels | None = None, verify: bool = True) -> nn.Module:
    """Cut a model by a plan.

    Works on a copy: the same classes, names, types, `requires_grad` and mode; what was tied stays tied, and the kept
    weights are the dense ones bit for bit. Sizes that layers keep in fields are set right, as are integer attributes
    of the model's own modules that reach a size argument.

    Args:
        model: The dense model; it is left as it is. A compiled model comes back compiled in the same way; other
            wrappers (DDP, Fabric) are taken off.
        plan: Which channels stay.
        channels: The channel classes the plan was made from. Without them the plan is replayed: the model is traced
            anew with inputs of the shapes that the plan tells, or not at all when `verify` is off.
        verify: Whether the cut proves itself (`prove`).

    Returns:
        The cut model, which remembers the plan (`plans_of`).

    Raises:
        SurgeryError: When the plan does not fit the model (the first tensor that differs is named), when Python code
            of a module can't run with the new sizes (the module is named), or when the answers are not those of the
            dense model with the removed channels silenced.

    Examples:
        >>> import torch
        >>> from niwaki.surgery import Plan, cut, plans_of
        >>> from niwaki.records import GroupPlan, Slice
        >>> model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.ReLU(), nn.Linear(2, 1))
        >>> channels = find_channels(trace(model, torch.zeros(1, 3)))
        >>> rows = Slice(tensor="0.weight", dim=0, positions=((0,), (1,)))
        >>> columns = Slice(tensor="2.weight", dim=1, positions=((0,), (1,)))
        >>> plan = Plan(groups=(GroupPlan(name="0", size=2, kept=(1,), slices=(rows, columns)),))
        >>> small = cut(model, plan, channels=channels)
        >>> bool((small[0].weight == model[0].weight[1:]).all()), len(plans_of(small))
        (True, 1)
    """
    dense = unwrap(model)
    removed = removed_by(plan)
    sizes = _fitting_sizes(dense, plan, removed)
    if channels is None and verify:
        channels = _channels_anew(dense, plan)
    repairs: Iterable[Repair] = plan.repairs
    notes: tuple[str, ...] = ()
    gone = None if channels is None else classes_removed_by(channels, removed)
    if channels is not None and gone is not None:
        repairs = find_repairs(dense, channels, gone)
    small = operate(dense, removed, repairs)
    if verify and channels is not None and gone is not None and gone.any():
        notes = prove(Candidate(dense, small, channels, gone, lambda twin: operate(twin, removed, repairs)))
    told = dict(plan) | {"repairs": tuple(repairs), "notes": tuple(dict.fromkeys((*plan.notes, *notes)))}
    remember(small, PlanRecord(**told | {"sizes": sizes}))
    return rewrap(small, model)


def operate(model: nn.Module, removed: Positions, repairs: Iterable[Repair]) -> nn.Module:
    """Cut a copy of a model, without proof.

    Args:
        model: The dense model; it is left as it is.
        removed: The positions that go.
        repairs: Integer attributes to change.

    Returns:
        The cut copy.

    Raises:
        SurgeryError: When the model can't be copied, or does not have what is to be cut.
    """
    try:
        small = copy.deepcopy(model)
    except Exception as error:
        raise SurgeryError(
            f"the model can't be copied ({type(error).__name__}: {error}); keep only tensors made by the user, modules "
            "and plain data as attributes"
        ) from error
    repair_fields(small, cut_tensors(small, removed))
    apply_repairs(small, repairs)
    return small


def classes_removed_by(channels: Channels, removed: Positions) -> Mask:
    """Return the channel classes that a set of positions makes up.

    Args:
        channels: The model's channel classes.
        removed: The positions that go.

    Returns:
        By class id, whether the class goes.

    Raises:
        SurgeryError: When a position is frozen, or goes without others that it is tied to.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 1))
        >>> channels = find_channels(trace(model, torch.zeros(1, 3)))
        >>> int(classes_removed_by(channels, {"0.weight": {0: [1]}, "1.weight": {1: [1]}}).sum())
        1
    """
    gone = np.zeros(len(channels.removable), dtype=np.bool_)
    for name, dims in removed.items():
        labels = channels.tensors.get(name)
        if labels is None:
            raise SurgeryError(f"the plan cuts the tensor {name!r}, which the model's graph does not have")
        for dim, positions in dims.items():
            classes = labels[dim] if dim < len(labels) else None
            if classes is None or positions[-1] >= len(classes) or not classes[positions].all():
                raise SurgeryError(f"dimension {dim} of {name!r} can't lose those positions: {channels.why(name)}")
            gone[classes[positions]] = True
    whole = positions_of(channels, gone)
    for name in whole.keys() | removed.keys():
        for dim in whole.get(name, {}).keys() | removed.get(name, {}).keys():
            _check_whole(name, dim, whole.get(name, {}).get(dim, []), removed)
    return gone


def _check_whole(name: str, dim: int, going: list[int], removed: Positions) -> None:
    named = removed.get(name, {}).get(dim, [])
    if going == named:
        return
    first = min(set(going) ^ set(named))
    raise SurgeryError(
        f"the plan tears a channel apart: position {first} along dimension {dim} of {name!r} must go together with "
        "others that the plan removes; remove all positions of a channel or none"
    )


def _fitting_sizes(model: nn.Module, plan: PlanRecord, removed: Positions) -> dict[str, tuple[int, ...]]:
    tensors = named_tensors(model)
    for name, shape in plan.sizes.items():
        tensor = tensors.get(plain_name(name))
        if tensor is None or tuple(tensor.shape) != shape:
            found = "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"
            raise SurgeryError(
                f"the plan was made for another model: tensor {name!r} is {found}, the plan was made for {shape}"
            )
    return {name: tuple(tensors[name].shape) for name in removed if name in tensors}


def _channels_anew(model: nn.Module, plan: PlanRecord) -> Channels:
    if not plan.examples:
        raise SurgeryError(
            "the plan tells no example inputs, so the cut can't prove itself; give channels=..., or verify=False"
        )
    examples = [example_from_spec(spec, seed) for seed, spec in enumerate(plan.examples)]
    return find_channels(trace(model, examples))
