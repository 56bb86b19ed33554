"""Points of a picture, centres of objects or keypoints of people, and where nobody looked for any."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from niwaki.data.coco.heat import LABELLED, Points
from niwaki.data.coco.masks import rendered
from niwaki.data.coco.objects import Object
from niwaki.data.coco.people import Person, falloffs

__all__ = ["centres", "keypoints", "shift_of_overlap", "unlabelled_centres", "unlabelled_keypoints"]

_OVERLAP = 0.7
_SPREADS = 3


def centres(objects: Sequence[Object]) -> Points:
    """Return the middles of the boxes of single objects, in the map of each one's category.

    The heat around one ends where a box of its size, shifted there, would overlap it with an IoU of .7.

    Examples:
        >>> from niwaki.data.coco.masks import Polygons
        >>> from niwaki.data.coco.objects import Box
        >>> centres([Object(3, Box(2, 4, 6, 10), Polygons(()), crowd=False)]).places.tolist()
        [[4.0, 7.0]]
    """
    single = [(each.category, each.box) for each in objects if each.box is not None and not each.crowd]
    maps = [category for category, _ in single]
    places = [((box.left + box.right) / 2, (box.top + box.bottom) / 2) for _, box in single]
    spreads = [shift_of_overlap(*box.sides) / _SPREADS for _, box in single]
    return Points(maps, maps, np.array(places, np.float64).reshape(-1, 2), spreads)


def keypoints(people: Sequence[Person], twins: Sequence[int]) -> Points:
    """Return the labelled keypoints, in the map of each one's kind.

    The heat around one is the object keypoint similarity that COCO would give to an answer there.

    Args:
        people: Whose they are.
        twins: What each keypoint becomes in a mirror.

    Returns:
        The points.
    """
    wide = falloffs(len(twins))
    found = [
        (person, kind) for person in people for kind in np.flatnonzero(np.isfinite(person.keypoints[:, 0])).tolist()
    ]
    places = np.array([person.keypoints[kind] for person, kind in found], np.float64).reshape(-1, 2)
    spreads = [float(wide[kind] * np.sqrt(person.area)) for person, kind in found]
    return Points([kind for _, kind in found], [twins[kind] for _, kind in found], places, spreads)


def shift_of_overlap(width: float, height: float) -> float:
    """Return how far a box can be shifted, both ways at once, and still overlap itself with an IoU of .7.

    The first case of the radius of CornerNet (arXiv 1808.01244, section 3.2), whose heat too has a third of it as its
    standard deviation.

    Examples:
        >>> d = shift_of_overlap(20.0, 10.0)
        >>> inside = (20 - d) * (10 - d)
        >>> round(inside / (2 * 200 - inside), 6)
        0.7
    """
    sides, area = width + height, width * height * (1 - _OVERLAP) / (1 + _OVERLAP)
    return (sides - float(np.sqrt(sides**2 - 4 * area))) / 2


def unlabelled_centres(objects: Sequence[Object], maps: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return which map has no label at each pixel: in a crowd, that of its category.

    Args:
        objects: The objects.
        maps: How many maps there are; stands for all, where crowds of two categories meet.
        size: Height and width of the picture.

    Returns:
        int ``[H, W]``, `niwaki.data.coco.heat.LABELLED` where every map has one.
    """
    plane = np.full(size, LABELLED, np.int64)
    for each in (one for one in objects if one.crowd):
        pixels = rendered(each.mask, size)
        free = (plane[pixels] == LABELLED) | (plane[pixels] == each.category)
        plane[pixels] = np.where(free, each.category, maps)
    return plane


def unlabelled_keypoints(people: Sequence[Person], maps: int, size: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the same for keypoints: in a crowd, and in a person without any, no map has a label."""
    plane = np.full(size, LABELLED, np.int64)
    for each in (one for one in people if one.body.crowd or not one.labelled):
        plane[rendered(each.body.mask, size)] = maps
    return plane
