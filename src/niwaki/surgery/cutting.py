"""The cut: a smaller model of the same classes and names, which gives the answers of the dense one silenced."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import nn

from niwaki.errors import SurgeryError
from niwaki.graph import Channels
from niwaki.modules import copied
from niwaki.quiet import uninterrupted
from niwaki.records import Plan as PlanRecord
from niwaki.records import Repair, Rescale
from niwaki.surgery.attributes import apply_repairs, find_repairs
from niwaki.surgery.banks import settle_banks, unused_of_banks
from niwaki.surgery.drift import find_drift
from niwaki.surgery.fields import repair_fields
from niwaki.surgery.fitting import channels_anew, fitting_sizes
from niwaki.surgery.kept import Mask, positions_of
from niwaki.surgery.memory import remember
from niwaki.surgery.proof import Candidate, prove
from niwaki.surgery.rescale import apply_rescales, find_rescales
from niwaki.surgery.respecialise import free_channels, respecialise
from niwaki.surgery.tensors import Places, Positions, aliases, cut_tensors, removed_by
from niwaki.surgery.wrappers import require_plain_inside, rewrap, unwrap

__all__ = ["classes_removed_by", "cut", "cut_away", "operate"]


@uninterrupted()
def cut(
    model: nn.Module, plan: PlanRecord, *, channels: Channels | None = None, verify: bool = True, form: str = ""
) -> nn.Module:
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
        form: ``module`` for the model's own classes or else an error; ``graph`` for its exported programs at their new
            sizes (`GraphModel`); empty for the form that the plan had when it was applied before, or else for modules
            where they prove themselves, and the graph where they don't, with a note in the plan that says why.

    Returns:
        The cut model, which remembers the plan (`plans_of`).

    Raises:
        SurgeryError: When a module inside the model is compiled or wrapped; when the plan does not fit the model (the
            first tensor that differs is named); in the form that was asked for, when Python code of a module can't run
            with the new sizes (the module is named), or when the answers are not those of the dense model with the
            removed channels silenced.

    Examples:
        >>> import torch
        >>> from niwaki.graph import find_channels, trace
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
    require_plain_inside(dense)
    removed = removed_by(plan)
    sizes = fitting_sizes(dense, plan, removed)
    form = form or plan.form
    if channels is None and (verify or form == "graph"):
        channels = channels_anew(dense, plan)
    if channels is None:
        made = _Made(operate(dense, removed, plan.repairs, plan.rescales), "module", plan.repairs, plan.rescales)
    else:
        made = _cut_proved(_Work(dense, channels, removed, verify), form)
    told = dict(plan) | {"form": made.form, "repairs": made.repairs, "rescales": made.rescales}
    told["notes"] = tuple(dict.fromkeys((*plan.notes, *made.notes)))
    remember(made.small, PlanRecord(**told | {"sizes": sizes}))
    return rewrap(made.small, model)


@dataclass(frozen=True)
class _Work:
    """What is cut: the dense model, its channel classes, the positions that go, and whether the cut proves itself."""

    dense: nn.Module
    channels: Channels
    removed: Positions
    verify: bool


class _Made(NamedTuple):
    """A cut model, its form, the attributes that were repaired, and remarks."""

    small: nn.Module
    form: str
    repairs: tuple[Repair, ...] = ()
    rescales: tuple[Rescale, ...] = ()
    notes: tuple[str, ...] = ()


def _cut_proved(work: _Work, form: str) -> _Made:
    """Cut modules, or else, where these can't follow or don't prove themselves, the graph."""
    if form == "graph":
        return _cut_graph(work)
    try:
        return _cut_modules(work)
    except SurgeryError as error:
        if form == "module":
            raise
        try:
            found = _cut_graph(work)
        except SurgeryError as second:
            raise error from second
        return found._replace(notes=(*found.notes, f"returned as a graph, since as modules {_uncapitalised(error)}"))


def _cut_modules(work: _Work) -> _Made:
    gone = classes_removed_by(work.channels, work.removed)
    repairs = find_repairs(work.dense, work.channels, gone)
    small = operate(work.dense, work.removed, repairs)
    rescales = find_rescales(find_drift(work.dense, small, work.channels, gone)) if gone.any() else []

    def again(dense: nn.Module) -> nn.Module:
        return operate(dense, work.removed, repairs, rescales)

    small = again(work.dense) if rescales else small
    notes = _proved(work, Candidate(work.dense, small, work.channels, gone, again))
    return _Made(small, "module", tuple(repairs), tuple(rescales), notes)


def _cut_graph(work: _Work) -> _Made:
    channels = free_channels(work.dense, work.channels)
    gone = classes_removed_by(channels, work.removed)

    def again(dense: nn.Module) -> nn.Module:
        return respecialise(dense, operate(dense, work.removed, ()), channels, gone)

    small = again(work.dense)
    return _Made(small, "graph", notes=_proved(work, Candidate(work.dense, small, channels, gone, again)))


def _proved(work: _Work, candidate: Candidate) -> tuple[str, ...]:
    return prove(candidate) if work.verify and candidate.removed.any() else ()


def _uncapitalised(error: Exception) -> str:
    text = str(error)
    return text[:1].lower() + text[1:]


@uninterrupted()
def cut_away(model: nn.Module, channels: Channels, removed: Mask) -> nn.Module:
    """Cut channel classes out of a copy of a model, without a plan, to see what it would answer; it proves itself.

    Args:
        model: The dense model, unwrapped; it is left as it is.
        channels: Its channel classes.
        removed: By class id, whether the class goes.

    Returns:
        The cut copy: modules of the same classes, in the same mode.

    Raises:
        SurgeryError: When the model can't be copied, its code can't follow, or the answers are not those of the model
            with these channels silenced.

    Examples:
        >>> import torch
        >>> from niwaki.graph import find_channels, trace
        >>> net = nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1))
        >>> channels = find_channels(trace(net, torch.ones(1, 1)))
        >>> removed = channels.removable.copy()
        >>> removed[channels.tensors["0.weight"][0][0]] = False
        >>> cut_away(net, channels, removed)[0]
        Linear(in_features=1, out_features=1, bias=True)
    """
    return _cut_modules(_Work(model, channels, positions_of(channels, removed), verify=True)).small


def operate(
    model: nn.Module, removed: Positions, repairs: Iterable[Repair], rescales: Collection[Rescale] = ()
) -> nn.Module:
    """Cut a copy of a model, without proof.

    Args:
        model: The dense model; it is left as it is.
        removed: The positions that go.
        repairs: Integer attributes to change.
        rescales: Weights to multiply.

    Returns:
        The cut copy.

    Raises:
        SurgeryError: When the model can't be copied, or does not have what is to be cut.
    """
    replaced = {name for name, dims in removed.items() if dims} - {each.tensor for each in rescales}
    try:
        small = copied(model, aliases(model, replaced))
    except Exception as error:
        raise SurgeryError(
            f"the model can't be copied ({type(error).__name__}: {error}); keep only tensors made by the user, modules "
            "and plain data as attributes"
        ) from error
    apply_rescales(small, rescales)
    unused = unused_of_banks(small, removed)
    resized = cut_tensors(small, removed | unused)
    apply_repairs(small, repairs)
    repair_fields(small, resized)
    settle_banks(small, unused)
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
        >>> from niwaki.graph import find_channels, trace
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
            _check_whole(name, dim, *(each.get(name, {}).get(dim, ()) for each in (whole, removed)))
    return gone


def _check_whole(name: str, dim: int, going: Places, named: Places) -> None:
    if np.array_equal(going, named):
        return
    first = min(set(going) ^ set(named))
    raise SurgeryError(
        f"the plan tears a channel apart: position {first} along dimension {dim} of {name!r} must go together with "
        "others that the plan removes; remove all positions of a channel or none"
    )
