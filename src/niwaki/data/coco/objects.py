"""Objects on pictures: category, box and mask, as every file of instances has them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from niwaki.data.coco.ledger import Ledger
from niwaki.data.coco.masks import Mask, Polygons, read_mask
from niwaki.data.frames import Fault

__all__ = ["Box", "Object", "Source", "read_box", "read_object"]


class Source(NamedTuple):
    """Where annotations come from.

    Attributes:
        file: The file of annotations.
        places: Id of a category to its place among the categories.
        ledger: Where faults and oddities go.
    """

    file: Path
    places: Mapping[int, int]
    ledger: Ledger

    def wrong(self, sort: str, found: str, expected: str) -> None:
        """Take down a fault of this file."""
        self.ledger.wrong(sort, self.file, found, expected)


class Box(NamedTuple):
    """The part of a box that lies in the picture, in pixels; x to the right, y down."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def sides(self) -> tuple[float, float]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


class Object(NamedTuple):
    """One annotated object, or a crowd of them.

    Attributes:
        category: Its category's place among the categories.
        box: Its box; None where it has no area in the picture.
        mask: Its pixels.
        crowd: Whether it stands for several objects that were not told apart.
    """

    category: int
    box: Box | None
    mask: Mask
    crowd: bool


def read_object(given: Mapping[str, Any], size: tuple[int, int], source: Source) -> Object | None:
    """Return an annotated object, or take down what is wrong with it.

    Args:
        given: The annotation.
        size: Height and width of the picture.
        source: Where it comes from.

    Returns:
        The object; None where it can't be used.
    """
    own = f"annotation {given.get('id')} on picture {given.get('image_id')}"
    category = given.get("category_id")
    if not isinstance(category, int) or category not in source.places:
        expected = "the id of a category in categories"
        source.wrong("annotations of no known category", f"{own} of category {category!r}", expected)
        return None
    box = read_box(given.get("bbox"), size)
    mask = read_mask(given.get("segmentation", []), size)
    if isinstance(box, Fault) or isinstance(mask, Fault):
        fault = box if isinstance(box, Fault) else mask
        assert isinstance(fault, Fault)
        source.wrong("annotations with a broken box or mask", f"{fault.found} in {own}", fault.expected)
        return None
    _count_oddities(given, box, mask, source.ledger)
    return Object(source.places[category], box, mask, bool(given.get("iscrowd")))


def read_box(given: Any, size: tuple[int, int]) -> Box | Fault | None:
    """Return the part of a box that lies in the picture.

    Args:
        given: ``[x, y, width, height]`` in pixels.
        size: Height and width of the picture.

    Returns:
        The box; None where no area of it is in the picture; or what is wrong with it.

    Examples:
        >>> read_box([-2, 1, 4, 2.5], (10, 10))
        Box(left=0.0, top=1.0, right=2.0, bottom=3.5)
        >>> read_box([3, 3, 0, 5], (10, 10)) is None
        True
    """
    try:
        x, y, width, height = np.asarray(given, np.float64).tolist()
    except (TypeError, ValueError):
        return Fault(f"the box {given!r}", "four numbers [x, y, width, height]")
    if not np.isfinite([x, y, width, height]).all() or width < 0 or height < 0:
        return Fault(f"the box {given!r}", "finite numbers [x, y, width, height], sides of 0 or more")
    left, right = np.clip([x, x + width], 0, size[1]).tolist()
    top, bottom = np.clip([y, y + height], 0, size[0]).tolist()
    return Box(left, top, right, bottom) if right > left and bottom > top else None


def _count_oddities(given: Mapping[str, Any], box: Box | None, mask: Mask, ledger: Ledger) -> None:
    width, height = given["bbox"][2:]
    if given.get("iscrowd"):
        ledger.odd("crowds, which are no single object")
    if box is None:
        ledger.odd("boxes without any area in the picture, not used")
    elif (width - box.sides[0]) > 1 or (height - box.sides[1]) > 1:
        ledger.odd("boxes over the edge of the picture by more than a pixel, cut off there")
    if isinstance(mask, Polygons) and not mask.outlines:
        ledger.odd("objects without a mask")
