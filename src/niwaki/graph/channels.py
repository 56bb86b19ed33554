"""The channels of a model: what of it lives and dies together."""

from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niwaki.errors import GraphError
from niwaki.graph.classes import ChannelGroup, Classes, Labels, State, UnknownOperator
from niwaki.graph.explain import Explainer
from niwaki.graph.groups import group_classes
from niwaki.graph.program import Traced
from niwaki.graph.solve import Solution
from niwaki.records import Attention

__all__ = ["Channels"]


@dataclass(frozen=True, eq=False, repr=False)
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
        reasons: Class that is neither frozen nor removable to the reason.
        solution: The classes before they were grouped, with the demands they come from.
        explainer: Answers why a position is frozen.
        attention: Whether channels inside heads go, or whole heads.
        memo: What was worked out once, such as the terms of the size.
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
    reasons: dict[int, str]
    solution: Solution
    explainer: Explainer
    attention: Attention
    memo: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        free = sum(group.size for group in self.groups if group.reason is None)
        return f"Channels({len(self.groups)} groups, {free} channels that can go)"

    @property
    def count(self) -> int:
        """The number of classes, the frozen class 0 among them."""
        return len(self.removable)

    def why(self, name: str) -> str:
        """Say which positions of a tensor can't go, and what froze them.

        Args:
            name: A parameter's or buffer's name, an alias as well.

        Returns:
            One line for each dimension.

        Raises:
            GraphError: When no tensor has that name.
        """
        canonical = self.traced.names.get(name)
        if canonical is None:
            close = get_close_matches(name, self.traced.names, n=3)
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise GraphError(f"no parameter or buffer is named {name!r}{hint}")
        return self.explainer.tensor(canonical)

    def freeze(self, classes: Classes, reason: str) -> "Channels":
        """Return the channels with some classes kept for good; class ids stay as they are.

        Args:
            classes: Class ids.
            reason: Why, for the groups of which nothing is left.

        Returns:
            New channels.
        """
        removable = self.removable.copy()
        removable[classes] = False
        reasons = {**self.reasons, **dict.fromkeys(np.unique(classes).tolist(), reason)}
        groups = group_classes(self.solution, removable, reasons)
        return replace(self, removable=removable, groups=groups, reasons=reasons, memo={})
