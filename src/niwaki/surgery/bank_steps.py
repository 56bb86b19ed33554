"""Banks put into a model, and taken out again: what a model remembers of it, and how it is done again on loading."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from niwaki.errors import SurgeryError
from niwaki.records.banks import Bank, Banks, BankUser, Materialised
from niwaki.surgery.bank_conv import BankConv
from niwaki.surgery.banks import bank_layers
from niwaki.surgery.memory import remember
from niwaki.surgery.replay import replays
from niwaki.surgery.wrappers import unwrap

__all__ = ["install_banks", "materialise"]


def install_banks(model: nn.Module, banks: Banks, filters: Mapping[int, Tensor], scales: Mapping[str, Tensor]) -> None:
    """Replace convolutions by layers that draw from banks.

    Args:
        model: A model that no one else uses; changed in place, and it remembers the step.
        banks: Which layers draw what from where.
        filters: Number of a bank to its filters, `[K, columns, *kernel]`; what is missing stays uninitialised.
        scales: Module name to its channels' scales, `[out]`; ones where it is missing.

    Raises:
        SurgeryError: When a module is no plain convolution of the shape told; nothing was changed then.
    """
    root = unwrap(model)
    for bank in banks.banks:
        for user in bank.users:
            _require_fit(root, bank, user)
    for number, bank in enumerate(banks.banks):
        first = _conv(root, bank.users[0])
        shape = (bank.filters, bank.width, *first.kernel_size)
        made = filters[number] if number in filters else torch.empty(shape)
        trained = any(_conv(root, user).weight.requires_grad for user in bank.users)
        held = nn.Parameter(made.to(first.weight).reshape(shape).clone(), requires_grad=trained)
        for user in bank.users:
            root.set_submodule(user.module, _drawing(_conv(root, user), held, user, scales if bank.scaled else None))
    remember(root, banks)


def materialise(model: nn.Module) -> nn.Module:
    """Return the model with plain convolutions in place of layers that draw from banks: for export, or other tools.

    What inner sharing saves in computation is given up, and so is the memory that banks save.

    Args:
        model: Any module, wrapped or not; it is left as it is.

    Returns:
        A plain copy that gives the same answers; the model itself where it has no banks.

    Examples:
        >>> net = nn.Sequential(nn.ReLU())
        >>> materialise(net) is net
        True
    """
    if not any(True for _ in bank_layers(unwrap(model))):
        return model
    plain = copy.deepcopy(unwrap(model))
    for name, layer in list(bank_layers(plain)):
        plain.set_submodule(name, layer.plain())
    remember(plain, Materialised())
    return plain


@replays("banks")
def _install_again(model: nn.Module, text: str) -> nn.Module:
    copied = copy.deepcopy(unwrap(model))
    install_banks(copied, Banks.from_json(text), {}, {})
    return copied


@replays("materialised")
def _materialise_again(model: nn.Module, text: str) -> nn.Module:  # noqa: ARG001 - the step tells nothing more
    plain = materialise(model)
    if plain is model:
        raise SurgeryError("the model has no banks to make plain convolutions of; build it with the settings it had")
    return plain


def _drawing(conv: _ConvNd, bank: nn.Parameter, user: BankUser, scales: Mapping[str, Tensor] | None) -> BankConv:
    scale = None
    if scales is not None:
        known = scales.get(user.module)
        values = torch.ones(len(user.rows)) if known is None else known
        scale = nn.Parameter(values.to(bank).clone(), requires_grad=bank.requires_grad)
    return BankConv(conv, bank, user.rows, user.inputs or None, scale)


def _conv(model: nn.Module, user: BankUser) -> _ConvNd:
    found = model.get_submodule(user.module)
    assert isinstance(found, _ConvNd)
    return found


def _require_fit(model: nn.Module, bank: Bank, user: BankUser) -> None:
    try:
        found = model.get_submodule(user.module)
    except AttributeError:
        raise SurgeryError(
            f"a bank is for {user.module!r}, which the model does not have; it is another model"
        ) from None
    wanted = (len(user.rows), len(user.inputs) or bank.width)
    if not isinstance(found, _ConvNd) or tuple(found.weight.shape[:2]) != wanted:
        what = f"of shape {tuple(found.weight.shape)}" if isinstance(found, _ConvNd) else f"a {type(found).__name__}"
        raise SurgeryError(
            f"a bank is for {user.module!r}, a convolution of {wanted[1]} inputs and {wanted[0]} outputs; in the model "
            f"given it is {what}"
        )
