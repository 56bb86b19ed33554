"""A few points that stand for a long front."""

import numpy as np

from niwaki.methods.share.search.choice import normalised
from niwaki.methods.share.search.problem import Values

__all__ = ["thinned"]


def thinned(values: Values, count: int, *, first: int) -> list[int]:
    """Return points of a front that leave none of it far from one of them.

    One point always stays; then the best of each objective, then each time the one farthest from those before.

    Args:
        values: ``[F, M]``.
        count: How many points, at least 1.
        first: A point that stays.

    Returns:
        Their rows, increasing; all where there are no more.

    Examples:
        >>> thinned(np.array([[0.0, 1.0], [0.1, 0.8], [0.5, 0.5], [1.0, 0.0]]), 3, first=2)
        [0, 2, 3]
    """
    if len(values) <= count:
        return list(range(len(values)))
    places = normalised(values)
    chosen = list(dict.fromkeys([first, *places.argmin(0).tolist()]))[:count]
    away = np.min([_distances(places, each) for each in chosen], axis=0)
    while len(chosen) < count:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, _distances(places, chosen[-1]))
    return sorted(set(chosen))


def _distances(places: Values, point: int) -> Values:
    found: Values = np.square(places - places[point]).sum(1)
    return found
