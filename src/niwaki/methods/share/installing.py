"""A merge carried out on a model: channels cut, banks put in, and what became of each filter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niwaki.methods.share.layers import Layer
from niwaki.methods.share.merging import Merge
from niwaki.records.banks import Bank, Banks, BankUser
from niwaki.records.sharing import SharedLayer, SharedMember
from niwaki.surgery import Plan, banks_of, install_banks

__all__ = ["Live", "install", "live_after"]

Live = dict[str, tuple[int, ...]]
"""Module to the input channels of its dense self that are left; a module that lost none is missing."""


def live_after(live: Mapping[str, tuple[int, ...]], plan: Plan, model: nn.Module) -> Live:
    """Return which input channels are left after a cut.

    Args:
        live: Those before.
        plan: The cut.
        model: The model before the cut.

    Returns:
        Those after.
    """
    found = dict(live)
    for (tensor, dim), gone in plan.removed_positions().items():
        module = tensor.rpartition(".")[0]
        if dim != 1 or not gone or not tensor.endswith(".weight"):
            continue
        before = found.get(module, tuple(range(model.get_parameter(tensor).shape[1])))
        away = set(gone)
        found[module] = tuple(column for place, column in enumerate(before) if place not in away)
    return found


@dataclass(frozen=True, eq=False)
class _Member:
    """One user of a layer's bank to be: which of its filters are left, and which inputs."""

    module: str
    network: str
    rows: Tensor
    left: Tensor
    inputs: tuple[int, ...] | None


def install(
    model: nn.Module,
    layers: Sequence[Layer],
    merges: Sequence[Merge],
    live: Mapping[str, tuple[int, ...]],
    gone: Mapping[str, Sequence[int]],
) -> tuple[SharedLayer, ...]:
    """Put banks into a model.

    Args:
        model: The model, cut; changed in place.
        layers: The layers.
        merges: What becomes of their filters.
        live: Input channels that are left.
        gone: Module to the filters that the cut removed.

    Returns:
        What became of each layer.
    """
    banks: list[Bank] = []
    filters: dict[int, Tensor] = {}
    scales: dict[str, Tensor] = {}
    told: list[tuple[Merge, tuple[_Member, ...]]] = []
    for layer, merge in zip(layers, merges, strict=True):
        members = _members(layer, merge, live, gone)
        kernel = model.get_submodule(layer.name).get_parameter("weight").shape[2:]
        whole = merge.bank.reshape(len(merge.kept), -1, *kernel)
        columns = _union(members, whole.shape[1])
        filters[len(banks)] = whole[:, list(columns)]
        banks.append(_bank(merge, members, columns))
        scales |= {member.module: merge.scales[member.rows[member.left]] for member in members}
        told.append((merge, members))
    scaled = {name: each for name, each in scales.items() if not bool((each == 1).all())}
    banks = [each.model_copy(update={"scaled": any(user.module in scaled for user in each.users)}) for each in banks]
    install_banks(model, Banks(banks=tuple(banks)), filters, scales)
    return tuple(_account(model, merge, members) for merge, members in told)


def _members(
    layer: Layer, merge: Merge, live: Mapping[str, tuple[int, ...]], gone: Mapping[str, Sequence[int]]
) -> tuple[_Member, ...]:
    found = []
    for number, conv in enumerate(layer.members):
        rows = torch.nonzero(merge.stack.owners == number).flatten()
        left = torch.ones(rows.numel(), dtype=torch.bool)
        left[list(gone.get(conv.module, ()))] = False
        found.append(_Member(conv.module, conv.network, rows, left, live.get(conv.module)))
    return tuple(found)


def _union(members: Sequence[_Member], width: int) -> tuple[int, ...]:
    if any(member.inputs is None for member in members):
        return tuple(range(width))
    return tuple(sorted({column for member in members for column in member.inputs or ()}))


def _bank(merge: Merge, members: Sequence[_Member], columns: tuple[int, ...]) -> Bank:
    at = {column: place for place, column in enumerate(columns)}
    users = []
    for member in members:
        rows = tuple(merge.place[member.rows[member.left]].tolist())
        own = columns if member.inputs is None else member.inputs
        users.append(
            BankUser(module=member.module, rows=rows, inputs=() if own == columns else tuple(at[each] for each in own))
        )
    return Bank(filters=len(merge.kept), width=len(columns), users=tuple(users))


def _account(model: nn.Module, merge: Merge, members: Sequence[_Member]) -> SharedLayer:
    kept = torch.zeros(merge.stack.size, dtype=torch.bool)
    kept[list(merge.kept)] = True
    held = next(bank for bank in banks_of(model) if members[0].module in bank.users)
    bank = held.filters
    return SharedLayer(
        name=merge.stack.name,
        members=tuple(
            SharedMember(
                module=member.module,
                network=member.network,
                filters=member.rows.numel(),
                kept=int(kept[member.rows].sum()),
                merged=int((~kept[member.rows] & member.left).sum()),
                pruned=int((~member.left).sum()),
            )
            for member in members
        ),
        bank=tuple(bank.shape),
        bank_bytes=bank.numel() * bank.element_size(),
        index_bits=sum(user.index_bits for user in held.users.values()),
        scale_bytes=sum(
            user.scale.numel() * user.scale.element_size() for user in held.users.values() if user.scale is not None
        ),
        distance=merge.lost(torch.cat([member.left for member in members])),
    )
