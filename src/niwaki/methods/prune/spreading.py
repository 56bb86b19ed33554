"""Spreading: how many channels each stratum should keep when a share of all of them is to stay, before rounding."""

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from niwaki.methods.prune.strata import Layout

__all__ = ["Everywhere", "Lowest", "Spread", "Spreading", "spread"]

Spreading = Literal["uniform", "global"]


class Spread(Protocol):
    """Turns a share of the channels into wishes."""

    def wishes(self, share: float) -> NDArray[np.float64]:
        """Return how many channels each stratum should keep.

        Args:
            share: Share of the channels that is to stay, in [0, 1].

        Returns:
            ``[strata]``, at least 0; it grows with the share.
        """
        ...


class Everywhere:
    """Every stratum keeps the same share of the channels that it had before the first round.

    Args:
        layout: The strata.
    """

    def __init__(self, layout: Layout) -> None:
        self._whole = np.array([stratum.wished for stratum in layout.strata])

    def wishes(self, share: float) -> NDArray[np.float64]:
        """Return the share of each stratum. See `Spread.wishes`."""
        return share * self._whole


class Lowest:
    """The channels with the lowest scores go, wherever they are: a stratum keeps those that are not among them.

    Args:
        layout: The strata.
        scores: One score for each class, ``[classes]``; scores of different layers have to be comparable.
    """

    def __init__(self, layout: Layout, scores: NDArray[np.float64]) -> None:
        sizes = [stratum.size for stratum in layout.strata]
        homes = np.repeat(np.arange(len(sizes)), sizes)
        classes = np.concatenate([stratum.classes for stratum in layout.strata] or [np.zeros(0, dtype=np.int64)])
        self._homes = homes[np.argsort(scores[classes], kind="stable")]
        self._count = len(sizes)
        self._whole = sum(stratum.wished for stratum in layout.strata)

    def wishes(self, share: float) -> NDArray[np.float64]:
        """Return how many of each stratum's channels are among the best. See `Spread.wishes`."""
        stays = min(round(share * self._whole), len(self._homes))
        best = self._homes[len(self._homes) - stays :]
        return np.bincount(best, minlength=self._count).astype(np.float64)


def spread(kind: Spreading, layout: Layout, scores: NDArray[np.float64]) -> Spread:
    """Return the way of spreading that a setting names.

    Args:
        kind: ``"uniform"`` or ``"global"``.
        layout: The strata.
        scores: One score for each class, ``[classes]``.

    Returns:
        The way.

    Examples:
        >>> from niwaki.methods.prune.strata import Rules, Stratum
        >>> strata = (Stratum(0, np.array([1, 2]), 2), Stratum(1, np.array([3, 4]), 2))
        >>> layout = Layout(Rules(1, 1, {}), strata)
        >>> scores = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
        >>> [spread(kind, layout, scores).wishes(0.5).tolist() for kind in ("uniform", "global")]
        [[1.0, 1.0], [0.0, 2.0]]
    """
    return Lowest(layout, scores) if kind == "global" else Everywhere(layout)
