"""One layer of a search: the filters of all networks, and how well one stands for another."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from niwaki.errors import ContractError
from niwaki.methods.share import distance
from niwaki.methods.share.search.neighbours import Neighbours

__all__ = ["Floats", "Masks", "SearchLayer", "cosines", "deviations"]

Floats = NDArray[np.float32]
Masks = NDArray[np.bool_]
"""``[P, N]``: for each of P candidates, which of N filters are kept."""


def cosines(filters: Floats) -> Floats:
    """Return the positive part of the cosine between any two filters; that of a zero filter is 0.

    Args:
        filters: ``[N, d]``.

    Returns:
        ``[N, N]``, symmetric, in [0, 1], with zeros on the diagonal.

    Examples:
        >>> cosines(np.float32([[1, 0], [3, 3], [-1, 0]])).round(2).tolist()
        [[0.0, 0.7099999785423279, 0.0], [0.7099999785423279, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    found: Floats = distance.cosines(torch.tensor(filters)).clamp(min=0).fill_diagonal_(0).numpy()
    return found


def deviations(filters: Floats, *, scaled: bool = True) -> Floats:
    """Return what is lost where one filter stands for another, up to 1: leaving the filter out costs no more.

    See `niwaki.methods.share.distance.distances`.

    Args:
        filters: ``[N, d]``.
        scaled: Whether each user has a scale of its own.

    Returns:
        ``[N, N]`` in [0, 1], row i by the filter that is replaced, column j by the one that stands for it.

    Examples:
        >>> deviations(np.float32([[1, 0], [2, 0], [0, 1]])).tolist()
        [[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
        >>> deviations(np.float32([[1, 0], [2, 0], [0, 1]]), scaled=False)[1].tolist()
        [0.25, 0.0, 1.0]
    """
    found: Floats = distance.distances(torch.tensor(filters), scale=scaled).clamp(max=1).numpy()
    return found


@dataclass(frozen=True, eq=False)
class SearchLayer:
    """The filters of one layer in all networks, and how many of them may be kept.

    Attributes:
        name: The layer's name.
        filters: float32 ``[N, d]``: the filters of all networks, network by network.
        owners: int ``[N]``: which network, from 0, each filter belongs to. Not every network needs to have the layer.
        least: Filters that are kept at least, 1 to ``most``.
        most: Filters that are kept at most, ``least`` to N; the same as ``least`` where the rate is given.
        mass: What each filter is worth, ``[N]``, at least 0; None for the sum of its absolute weights.
        weight: The layer's weight in means over layers; None for its number of weights.
        scaled: Whether each user of a kept filter has a scale of its own.
        limits: ``[N]``: the deviation past which a filter is left out rather than replaced; None where none is.

    Raises:
        ContractError: When sizes don't fit, a value is not finite, or a bound is out of range.

    Examples:
        >>> layer = SearchLayer("conv1", np.float32([[1, 0], [2, 0], [0, 1]]), np.array([0, 0, 1]), 2, 2)
        >>> layer.mass_of.tolist(), layer.share
        ([1.0, 2.0, 1.0], 6.0)
    """

    name: str
    filters: Floats
    owners: NDArray[np.int64]
    least: int
    most: int
    mass: NDArray[np.floating] | None = None
    weight: float | None = None
    scaled: bool = True
    limits: Floats | None = None
    _last: tuple[Masks, Floats] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.filters.ndim != 2 or not len(self.filters):
            raise ContractError(f"layer {self.name!r}: filters are [N, d] with N at least 1; got {self.filters.shape}")
        for what, values in (("owners", self.owners), ("mass", self.mass), ("limits", self.limits)):
            if values is not None and values.shape != (len(self),):
                raise ContractError(
                    f"layer {self.name!r}: {what} has one entry for each of {len(self)} filters; got {values.shape}"
                )
        if not np.isfinite(self.filters).all() or not np.isfinite(self.mass_of).all() or self.mass_of.min() < 0:
            raise ContractError(f"layer {self.name!r}: filters and mass are finite, and no mass is below 0")
        if not 1 <= self.least <= self.most <= len(self):
            raise ContractError(
                f"layer {self.name!r} has {len(self)} filters; it can't keep {self.least} to {self.most} of them"
            )

    def __len__(self) -> int:
        return len(self.filters)

    @property
    def networks(self) -> int:
        """The number of networks, as far as this layer knows of them."""
        return int(self.owners.max()) + 1

    @property
    def share(self) -> float:
        """The layer's weight in means over layers."""
        return float(self.filters.size if self.weight is None else self.weight)

    @cached_property
    def mass_of(self) -> Floats:
        """What each filter is worth, ``[N]``."""
        return np.asarray(np.abs(self.filters).sum(1) if self.mass is None else self.mass, np.float32)

    @cached_property
    def squares(self) -> Floats:
        """The squared norm of each filter, ``[N]``."""
        found: Floats = np.einsum("nd,nd->n", self.filters, self.filters)
        return found

    @cached_property
    def cosines(self) -> Floats:
        """See `cosines`."""
        return cosines(self.filters)

    @cached_property
    def deviations(self) -> Floats:
        """See `deviations`."""
        return deviations(self.filters, scaled=self.scaled)

    @cached_property
    def distances(self) -> Floats:
        """The Euclidean distance between any two filters, ``[N, N]``."""
        apart = self.squares[:, None] + self.squares - 2 * (self.filters @ self.filters.T)
        found: Floats = np.sqrt(np.maximum(apart, 0))
        np.fill_diagonal(found, 0)
        return found

    @cached_property
    def neighbours(self) -> Neighbours:
        """For each filter the others, the one that stands for it best first."""
        return Neighbours.of(self.deviations)

    def lost(self, kept: Masks) -> Floats:
        """Return what is lost of every filter when others are kept.

        Args:
            kept: ``[P, N]``.

        Returns:
            ``[P, N]``: the deviation from the nearest kept filter; 1 of a filter that is left out. Two objectives ask
            for the same in turn, so that the last answer is kept as long as the layer.
        """
        last = self._last
        if last is None or last[0] is not kept:
            found: Floats = self.neighbours.nearest(kept)
            if self.limits is not None:
                found[(found > self.limits) & ~kept] = 1
            last = (kept, found)
            object.__setattr__(self, "_last", last)
        return last[1]
