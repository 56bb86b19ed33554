"""Class ids as labels of tensors, and the groups they form."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niwaki.records import Slice, Unit

__all__ = ["ChannelGroup", "Classes", "Labels", "State", "UnknownOperator"]

Classes = NDArray[np.int64]
Labels = tuple[Classes | None, ...]
State = Labels | list[Labels] | None


@dataclass(frozen=True, eq=False)
class ChannelGroup:
    """Classes that share a dimension of some tensor, directly or through others.

    Attributes:
        name: Module of the first parameter that produces the channels.
        classes: Class ids, in the order of the channels; channel j of the group is ``classes[j]``.
        slices: Where each channel lies, in every parameter and buffer; positions are empty where it does not.
        strata: For each channel the index of its stratum: channels with the same number of positions in the same
            arrays, which may replace one another.
        reason: Why nothing of the group can go, or None.
        unit: ``heads`` where every channel is a whole head of attention.
    """

    name: str
    classes: Classes
    slices: tuple[Slice, ...]
    strata: Classes
    reason: str | None = None
    unit: Unit = "channels"

    @property
    def size(self) -> int:
        """The number of channels."""
        return len(self.classes)


@dataclass(frozen=True)
class UnknownOperator:
    """An operator without a rule, which froze the channels it read.

    Attributes:
        node: Name of the node in its program.
        operator: Such as ``aten.cholesky.default``.
        module: Dotted name of the module that called it.
        tensors: Canonical names of the parameters and buffers whose channels it froze.
    """

    node: str
    operator: str
    module: str
    tensors: tuple[str, ...]
