"""People on pictures: their keypoints, and which of those trade places in a mirror."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.data.coco.objects import Object, Source, read_object

__all__ = ["Person", "falloffs", "read_person", "twins"]

_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
_OTHER_SIGMA = 0.05
_PIXEL = 0.5
_SEEN = (0, 1, 2)


class Person(NamedTuple):
    """A person, or a crowd of them.

    Attributes:
        body: Box, mask, and whether it is a crowd.
        keypoints: ``x, y`` in pixels of the picture, float ``[K, 2]``; NaN where a keypoint has no label.
        area: Pixels that the person takes, at least 1.
    """

    body: Object
    keypoints: npt.NDArray[np.float64]
    area: float

    @property
    def labelled(self) -> bool:
        """Whether any keypoint has a label."""
        return bool(np.isfinite(self.keypoints).any())


def read_person(given: Mapping[str, Any], names: int, size: tuple[int, int], source: Source) -> Person | None:
    """Return an annotated person, or take down what is wrong.

    Args:
        given: The annotation.
        names: How many keypoints the category has.
        size: Height and width of the picture.
        source: Where it comes from.

    Returns:
        The person; None where the annotation can't be used.
    """
    body = read_object(given, size, source)
    if body is None:
        return None
    listed = given.get("keypoints", [0] * (3 * names))
    try:
        points = np.asarray(listed, np.float64).reshape(names, 3)
    except (TypeError, ValueError):
        points = np.full((names, 3), np.nan)
    if not np.isfinite(points).all() or not np.isin(points[:, 2], _SEEN).all():
        found = f"keypoints of annotation {given.get('id')} on picture {given.get('image_id')} that are none"
        source.wrong("people with broken keypoints", found, f"{names} times x, y and v, v one of 0, 1 and 2")
        return None
    places = points[:, :2] + _PIXEL  # whole numbers name pixels, whose middles lie half a pixel further
    labelled = points[:, 2] > 0
    inside = ((places >= 0) & (places < np.array(size[::-1]))).all(1)
    if labelled.any():
        source.ledger.odd("keypoints without a label (v = 0)", int((~labelled).sum()))
        source.ledger.odd("keypoints outside of the picture, not used", int((labelled & ~inside).sum()))
    elif not body.crowd:
        source.ledger.odd("people without any keypoint, unlabelled there")
    return Person(body, np.where((labelled & inside)[:, None], places, np.nan), _area(given, body))


def _area(given: Mapping[str, Any], body: Object) -> float:
    """Return the pixels that a person takes, those of the box where that is not said."""
    area = given.get("area")
    if isinstance(area, int | float) and np.isfinite(area) and area > 0:
        return max(float(area), 1.0)
    width, height = body.box.sides if body.box is not None else (1.0, 1.0)
    return max(width * height, 1.0)


def falloffs(number: int) -> npt.NDArray[np.float64]:
    """Return how far off each keypoint may be, as a share of the root of the person's area.

    COCO's object keypoint similarity falls with distance d as ``exp(-d^2 / (2 area k^2))``; this is its k, measured on
    how much people who annotate differ. Other keypoints than COCO's 17 take .1.

    Examples:
        >>> falloffs(17)[:2].tolist(), falloffs(2).tolist()
        ([0.052, 0.05], [0.1, 0.1])
    """
    return 2 * np.array(_SIGMAS if number == len(_SIGMAS) else [_OTHER_SIGMA] * number)


def twins(names: Sequence[str]) -> tuple[int, ...]:
    """Return what each keypoint becomes in a mirror: left becomes right.

    Examples:
        >>> twins(["nose", "left_eye", "right_eye"])
        (0, 2, 1)
    """
    sides = str.maketrans({"\0": "right", "\1": "left"})
    other = [name.replace("left", "\0").replace("right", "\1").translate(sides) for name in names]
    return tuple(names.index(twin) if twin in names else place for place, twin in enumerate(other))
