"""Channel classes and groups: what of a model lives and dies together."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from niwaki.graph.program import Traced
from niwaki.records import Slice

__all__ = ["ChannelGroup", "Channels", "Labels", "State", "UnknownOperator"]

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
    """

    name: str
    classes: Classes
    slices: tuple[Slice, ...]
    strata: Classes
    reason: str | None = None

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


@dataclass(frozen=True, eq=False)
class Channels:
    """The channel classes of a model. Class 0 is frozen; every other class is removed whole or not at all.

    Attributes:
        traced: The programs the labels were read from.
        tensors: Canonical name to one array of class ids (or None: frozen whole) for each dimension.
        values: For each program, node name to its state: labels, a list of labels, or None for no tensor.
        removable: By class id, whether the class may go.
        groups: What can be cut together; groups of which nothing can go carry the reason.
        equal_chunks: Pieces of one dimension that must keep equal numbers, as arrays of class ids.
        frozen: Parameter to the reason why none of its channels can go.
        unknown: Operators without a rule.
        shuffles: Nodes that end a chain of views which permutes channels: the program can be cut at any channels
            there, Python code that reshapes by ``(groups, channels // groups)`` can not.
    """

    traced: Traced
    tensors: dict[str, Labels]
    values: tuple[dict[str, State], ...]
    removable: NDArray[np.bool_]
    groups: tuple[ChannelGroup, ...]
    equal_chunks: list[list[Classes]]
    frozen: dict[str, str]
    unknown: tuple[UnknownOperator, ...]
    shuffles: tuple[str, ...]
