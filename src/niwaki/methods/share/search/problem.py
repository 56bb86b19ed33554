"""The problem of a search: a row of yes or no over the filters of all layers, and several objectives of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from niwaki.errors import ContractError
from niwaki.methods.share.search.layer import Masks, SearchLayer
from niwaki.methods.share.search.objectives import Objective, objectives

__all__ = ["ADAPTIVE", "GIVEN", "Kept", "Problem", "Values", "default_objectives"]

Values = NDArray[np.float64]
"""``[P, M]``: M objectives of P candidates, smaller is better."""

Kept = tuple[NDArray[np.int64], ...]
"""For each layer the rows of its filters that are kept, ascending."""

GIVEN = ("importance", "redundancy", "reconstruction")
"""The objectives where it is given how many filters every layer keeps."""

ADAPTIVE = (*GIVEN, "size", "worst_task")
"""The objectives where the search also chooses how many."""

_BLOCK = 32
"""Candidates that are judged in one go. It never depends on who judges them, so that their last bits don't either."""


def default_objectives(layers: Sequence[SearchLayer]) -> tuple[str, ...]:
    """Return the objectives of a search over layers whose rates are given, or free in one at least."""
    return GIVEN if all(layer.least == layer.most for layer in layers) else ADAPTIVE


@dataclass(frozen=True, eq=False)
class Problem:
    """Layers, and the objectives that a choice of their filters is judged by.

    Attributes:
        layers: The layers.
        names: Names in the registry of objectives.

    Raises:
        ContractError: When there is no layer or objective.
        SettingError: When an objective is not known.

    Examples:
        >>> layer = SearchLayer("a", np.float32([[1, 0], [3, 0], [0, 4]]), np.array([0, 0, 1]), 2, 2)
        >>> problem = Problem((layer,), ("importance", "redundancy"))
        >>> problem.judge(np.array([[False, True, True]])).tolist()
        [[0.125, 0.0]]
    """

    layers: tuple[SearchLayer, ...]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.layers or not self.names:
            raise ContractError("a search needs at least one layer of filters and one objective")
        for name in self.names:
            objectives.get(name)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where each layer begins in a row, and where the row ends."""
        return (0, *np.cumsum([len(layer) for layer in self.layers]).tolist())

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def slices(self) -> list[slice]:
        """The part of a row that belongs to each layer."""
        return [slice(a, b) for a, b in zip(self.starts, self.starts[1:], strict=False)]

    def judge(self, rows: Masks) -> Values:
        """Return the objectives of candidates.

        Args:
            rows: ``[P, genes]``, one gene for each filter of each layer.

        Returns:
            ``[P, M]``, in the order of ``names``.
        """
        return np.concatenate([self.judge_block(block) for block in self.blocks(rows)])

    def judge_block(self, rows: Masks) -> Values:
        """Return the objectives of one block of candidates."""
        parts = [np.ascontiguousarray(rows[:, part]) for part in self.slices]
        return np.stack([self._over_layers(objectives.get(name), parts) for name in self.names], axis=1)

    def _over_layers(self, objective: Objective, parts: list[Masks]) -> NDArray[np.float64]:
        found = [objective(layer, kept) for layer, kept in zip(self.layers, parts, strict=True)]
        rows = len(parts[0])
        wide = max(each.size // rows for each in found)
        total, weight = np.zeros((rows, wide)), np.zeros((rows, wide))
        for layer, each in zip(self.layers, found, strict=True):
            values = each.reshape(rows, -1).astype(np.float64)
            there, width = np.isfinite(values), values.shape[1]
            total[:, :width] += layer.share * np.where(there, values, 0)
            weight[:, :width] += layer.share * there
        worst: NDArray[np.float64] = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0).max(1)
        return worst

    @staticmethod
    def blocks(rows: Masks) -> list[Masks]:
        """Split candidates into the blocks that are judged in one go."""
        return [rows[start : start + _BLOCK] for start in range(0, max(1, len(rows)), _BLOCK)]

    def kept(self, row: NDArray[np.bool_]) -> Kept:
        """Return the kept filters of each layer of one candidate, ``[genes]``."""
        return tuple(np.flatnonzero(row[part]) for part in self.slices)

    def row(self, kept: Sequence[NDArray[np.integer]]) -> NDArray[np.bool_]:
        """Return the candidate that keeps some filters; the inverse of `kept`."""
        found = np.zeros(len(self), bool)
        for part, chosen in zip(self.slices, kept, strict=True):
            found[part][chosen] = True
        return found
