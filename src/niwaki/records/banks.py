"""Banks of filters as plain data: which layers draw from which bank, and which row each of their channels is."""

from typing import Literal

from niwaki.records.base import RecordBase
from niwaki.records.step import StepRecord

__all__ = ["Bank", "BankUser", "Banks", "Materialised"]


class BankUser(RecordBase):
    """One layer that draws its filters from a bank: ``W = bank[rows][:, inputs]``.

    Attributes:
        module: Dotted name of the convolution.
        rows: Row of the bank for each output channel.
        inputs: Column of the bank for each input channel, increasing; empty where they are all of them.
    """

    module: str
    rows: tuple[int, ...]
    inputs: tuple[int, ...] = ()


class Bank(RecordBase):
    """One bank and its users.

    Attributes:
        filters: Number of rows.
        width: Input channels of a row.
        users: The layers that draw from it.
        scaled: Whether each user's channel has a scale of its own.
    """

    filters: int
    width: int
    users: tuple[BankUser, ...]
    scaled: bool = True


class Banks(StepRecord):
    """Convolutions replaced by layers that draw from banks.

    Attributes:
        step: Always ``"banks"``.
        banks: The banks.
    """

    step: Literal["banks"] = "banks"
    banks: tuple[Bank, ...]


class Materialised(StepRecord):
    """Layers that draw from banks, made plain convolutions again.

    Attributes:
        step: Always ``"materialised"``.
    """

    step: Literal["materialised"] = "materialised"
