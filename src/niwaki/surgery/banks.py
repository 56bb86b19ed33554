"""Banks in a model: read, and freed of what no layer uses after a cut."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from niwaki.surgery.bank_conv import BankConv
from niwaki.surgery.tensors import Places, Positions, kept_along
from niwaki.surgery.wrappers import unwrap

__all__ = ["HeldBank", "bank_layers", "banks_of", "settle_banks", "unused_of_banks"]


@dataclass(frozen=True, eq=False)
class HeldBank:
    """A bank as a model holds it.

    Attributes:
        filters: The parameter, `[K, columns, *kernel]`.
        users: Module name to layer, in the order of the modules.
    """

    filters: nn.Parameter
    users: Mapping[str, BankConv]

    def counts(self) -> Tensor:
        """Return how many channels draw from each row, `[K]`."""
        drawn = torch.cat([layer.index for layer in self.users.values()])
        return torch.bincount(drawn, minlength=self.filters.shape[0])


def banks_of(model: nn.Module) -> tuple[HeldBank, ...]:
    """Return the banks of a model.

    Args:
        model: Any module.

    Returns:
        The banks, in the order of their first users.

    Examples:
        >>> banks_of(nn.Linear(2, 2))
        ()
    """
    found: dict[int, dict[str, BankConv]] = {}
    for name, layer in bank_layers(model):
        found.setdefault(id(layer.bank), {})[name] = layer
    return tuple(HeldBank(next(iter(users.values())).bank, users) for users in found.values())


def unused_of_banks(model: nn.Module, removed: Positions) -> Positions:
    """Return what no layer draws from banks any more, once some of its channels are gone.

    Args:
        model: The model before the cut.
        removed: The positions that the cut removes.

    Returns:
        Rows and columns of banks that go as well, under the bank's first name.
    """
    found: Positions = {}
    for bank in banks_of(model):
        rows: set[int] = set()
        columns: set[int] = set()
        for name, layer in bank.users.items():
            outputs = "rows" if layer.place is None else "place"
            rows.update(_left(layer.index, removed.get(f"{name}.{outputs}", {})))
            columns.update(_left(layer.inputs, removed.get(f"{name}.inputs", {})))
        kept = (rows, columns)
        gone = {dim: [i for i in range(bank.filters.shape[dim]) if i not in kept[dim]] for dim in (0, 1)}
        if any(gone.values()):
            found[f"{next(iter(bank.users))}.bank"] = {dim: each for dim, each in gone.items() if each}
    return found


def settle_banks(model: nn.Module, unused: Positions) -> None:
    """Number rows and columns anew in every layer, after a cut.

    Args:
        model: The cut model; changed in place.
        unused: What `unused_of_banks` returned before the cut.
    """
    for bank in banks_of(model):
        gone = unused.get(f"{next(iter(bank.users))}.bank", {})
        before = [bank.filters.shape[dim] + len(gone.get(dim, [])) for dim in (0, 1)]
        new = [{old: new for new, old in enumerate(kept_along(before[dim], gone.get(dim, [])))} for dim in (0, 1)]
        for layer in bank.users.values():
            index, inputs = layer.index.tolist(), layer.inputs.tolist()
            layer.place_on([new[0][row] for row in index], [new[1][column] for column in inputs])


def bank_layers(model: nn.Module) -> Iterator[tuple[str, BankConv]]:
    """Yield the layers of a model that draw from banks, by module name."""
    return ((name, each) for name, each in unwrap(model).named_modules() if isinstance(each, BankConv))


def _left(index: Tensor, removed: Mapping[int, Places]) -> list[int]:
    drawn = index.tolist()
    return [drawn[position] for position in kept_along(len(drawn), removed.get(0, []))]
