"""Cityscapes, wherever its files lie: class names, and inverse depth beside labels."""

from niwaki.data.frames.depth import depth_plane
from niwaki.data.frames.label import label_plane
from niwaki.data.frames.layout import Layout
from niwaki.data.frames.picture import PICTURE

__all__ = ["CITYSCAPES_CLASSES", "cityscapes_layout"]

CITYSCAPES_CLASSES: dict[int, tuple[str, ...]] = {
    7: ("flat", "construction", "object", "nature", "sky", "human", "vehicle"),
    19: (
        *("road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation"),
        *("terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle"),
    ),
}
"""Number of classes to their names, in Cityscapes' own order; of the two-class labels no names are published."""


def cityscapes_layout(labels: str, classes: int, *, above: float = 0.0) -> Layout:
    """Return what frames of Cityscapes hold.

    Args:
        labels: What the layout calls the labels.
        classes: How many classes they have.
        above: Disparities up to it are no labels.

    Returns:
        The layout: a picture, labels, and scaled disparity.
    """
    planes = (
        PICTURE,
        label_plane(labels, "segmentation", classes),
        depth_plane("depth", "depth", what="scaled disparities"),
    )
    depth = {"kind": "depth", "unit": "", "scale": "inverse"} | ({"above": above} if above else {})
    names = {"segmentation": CITYSCAPES_CLASSES[classes]} if classes in CITYSCAPES_CLASSES else {}
    note = "depth is scaled disparity, larger where nearer, without a unit"
    return Layout(planes, ({"kind": "segmentation", "classes": classes}, depth), names, notes=(note,))
