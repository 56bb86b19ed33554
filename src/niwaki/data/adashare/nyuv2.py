"""NYUv2 as AdaShare lists it."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar, Literal

import numpy as np

from niwaki.data.adashare.listed import ListedData
from niwaki.data.base import datasets
from niwaki.data.frames import PICTURE, Array, Layout, depth_plane, label_plane, normal_plane, unit_normals
from niwaki.tasks import decode_normals

__all__ = ["NYUV2_CLASSES", "AdaShareNYUv2Data", "camera_normals"]

NYUV2_CLASSES: tuple[str, ...] = (
    *("wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window", "bookshelf"),
    *("picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser", "pillow", "mirror", "floor mat"),
    *("clothes", "ceiling", "books", "refrigerator", "television", "paper", "towel", "shower curtain", "box"),
    *("whiteboard", "person", "night stand", "toilet", "sink", "lamp", "bathtub", "bag", "other structure"),
    *("other furniture", "other prop"),
)
"""NYUv2's 40 classes, in the order of their numbers."""

_LEGACY = (
    "legacy_adashare: normals are read undecoded, to compare with the tables of that line only; a constant prediction "
    "is off by about 20 degrees"
)


def camera_normals(array: Array) -> Array:
    """Return normals in the camera's frame: x right, y down, z forward.

    Args:
        array: uint8 ``[H, W, 3]``; red is right, green forward, blue up, as ``(n + 1) * 127.5``. White is unlabelled.

    Returns:
        float32 unit vectors ``[H, W, 3]``, 0 where unlabelled.

    Examples:
        >>> facing_us, unlabelled = camera_normals(np.array([[[128, 0, 128], [255, 255, 255]]], np.uint8))[0] + 0.0
        >>> facing_us.round(2).tolist(), unlabelled.tolist()
        ([0.0, -0.0, -1.0], [0.0, 0.0, 0.0])
    """
    right, forward, up = np.moveaxis(unit_normals(array), -1, 0)
    return np.stack([right, -up, forward], axis=-1)


@datasets.register("nyuv2_adashare")
class AdaShareNYUv2Data(ListedData):
    """NYUv2 as AdaShare lists it: 40-class segmentation, surface normals, depth in metres, 480x640.

    ``<root>/nyu_v2_3task.json`` holds ``{split: [[image, seg, normal, depth], ...]}``, paths relative to the folder:
    image a colour picture, seg a grey one (0 to 39, 255 where unlabelled), normal a colour picture that encodes
    directions (white where unlabelled), depth ``.npy`` ``[H, W]`` in metres (0 where unlabelled). A path may be null.

    AdaShare's own loader, and those that follow it, take the bytes of normals for directions. All of them then lie in
    one octant, and a constant prediction is off by about 20 degrees. Here they are decoded; `legacy_adashare`
    reads them as published tables do.

    Attributes:
        root: The folder of the list.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        tasks: Names of the tasks to read (``segmentation``, ``normals``, ``depth``), where not all are wanted.
        test: The list that gives the reported numbers; without one of that name there is no test split.
        val: How much of training becomes the validation split, where there is no list ``val`` of its own: a fraction in
            (0, 1) or a number of frames.
        legacy_adashare: Whether normals are read undecoded, and mirrored without a change of sign.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    list_file: ClassVar[str] = "nyu_v2_3task.json"
    columns: ClassVar[tuple[str, ...]] = ("image", "seg", "normal", "depth")
    kind: Literal["nyuv2_adashare"] = "nyuv2_adashare"
    legacy_adashare: bool = False

    def layout(self) -> Layout:
        """Return what the frames hold."""
        undecoded: Callable[[Array], Array] = partial(decode_normals, legacy_adashare=True)
        planes = (
            PICTURE,
            label_plane("seg", "segmentation", len(NYUV2_CLASSES), ignored=255),
            normal_plane("normal", "normals", decode=undecoded if self.legacy_adashare else camera_normals, kinds="u"),
            depth_plane("depth", "depth"),
        )
        tasks = ({"kind": "segmentation", "classes": len(NYUV2_CLASSES)}, {"kind": "normals"}, {"kind": "depth"})
        names = {"segmentation": NYUV2_CLASSES}
        if self.legacy_adashare:
            return Layout(planes, tasks, names, kinds={"normals": "map"}, notes=(_LEGACY,))
        return Layout(planes, tasks, names)
