"""Tiny-Taskonomy as AdaShare lists it."""

from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np

from niwaki.data.adashare.listed import ListedData
from niwaki.data.base import Size, datasets
from niwaki.data.frames import PICTURE, Array, Fault, Layout, Plane, flat, label_plane, normal_plane, unit_normals
from niwaki.data.kinds import LOG_SCALE

__all__ = ["TASKONOMY_CLASSES", "TaskonomyData", "facing_normals", "log_depth", "metric_depth", "strength"]

TASKONOMY_CLASSES: tuple[str, ...] = (
    *("background", "bottle", "chair", "couch", "potted plant", "bed", "dining table", "toilet", "tv"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase"),
)
"""Taskonomy's classes; a file holds their number plus 1, and 0 where it is not certain of any."""

_STEPS_PER_METRE = 512
_MISSING_FROM = 64500
_STRONGEST = {"keypoint": 0.005, "edge": 0.08}


def metric_depth(array: Array) -> Array:
    """Return depth in metres, float32 ``[H, W, 1]``, 0 where the scan has a hole.

    Examples:
        >>> metric_depth(np.array([[1024, 65535]], np.uint16))[..., 0].tolist()
        [[2.0, 0.0]]
    """
    return (_steps(array) / _STEPS_PER_METRE).astype(np.float32)


def log_depth(array: Array) -> Array:
    """Return ``ln(1 + d) / ln(2^16)`` of depth d in 1/512 m, float32 ``[H, W, 1]``, 0 where the scan has a hole.

    Examples:
        >>> log_depth(np.array([[255, 65535]], np.uint16))[..., 0].tolist()
        [[0.5, 0.0]]
    """
    return (np.log1p(_steps(array)) / LOG_SCALE).astype(np.float32)


def _steps(array: Array) -> Array:
    steps = flat(array).astype(np.float64)[..., None]
    return np.where(steps < _MISSING_FROM, steps, 0.0)


def strength(array: Array, *, strongest: float) -> Array:
    """Return how strong edges or keypoints are, from -1 to 1, float32 ``[H, W, 1]``.

    Args:
        array: 16-bit numbers ``[H, W]``, which stand for themselves over 2^16.
        strongest: What becomes 1, as does whatever is stronger.

    Returns:
        The strengths.

    Examples:
        >>> strength(np.array([[0, 1311, 65535]], np.uint16), strongest=0.08)[..., 0].round(2).tolist()
        [[-1.0, -0.5, 1.0]]
    """
    share: Array = flat(array).astype(np.float32)[..., None] / np.float32(2**16 * strongest)
    return share.clip(0, 1) * np.float32(2) - np.float32(1)


def facing_normals(array: Array) -> Array:
    """Return normals in the camera's frame: x right, y down, z forward.

    Args:
        array: uint8 ``[H, W, 3]``; red is right, green down, blue towards the camera, as ``(n + 1) * 127.5``. Grey is
            unlabelled.

    Returns:
        float32 unit vectors ``[H, W, 3]``, 0 where unlabelled.
    """
    return unit_normals(array) * np.array([1, 1, -1], np.float32)


def _width_fault(array: Array) -> Fault | None:
    return Fault(f"dtype {array.dtype}", "16-bit numbers") if array.dtype.itemsize < 2 else None


@datasets.register("taskonomy")
class TaskonomyData(ListedData):
    """Tiny-Taskonomy as AdaShare lists it: 17-class segmentation, normals, depth, keypoints, edges.

    ``<root>/taskonomy.json`` holds ``{split: [[image, seg, normal, depth, keypoint, edge], ...]}``, paths of
    Taskonomy's own pictures relative to the folder. seg holds class + 1, and 0 for "uncertain", which is no label;
    normal encodes directions, grey where the scan has a hole; depth has 16 bits, 1/512 m each, and a hole from 64500
    on; keypoint and edge have 16 bits. A path may be null.

    Keypoints and edges are maps from -1 to 1 with an absolute error, and depth is by default on the logarithmic scale
    from 0 to 1, as published tables have them. Their class weights (``semseg_prior_factor.npy``) are not used.

    Attributes:
        root: The folder of the list.
        depth: Scale of depth: ``log`` as published, or ``metres``.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        tasks: Names of the tasks to read (``segmentation``, ``normals``, ``depth``, ``keypoint``, ``edge``), where not
            all are wanted.
        test: The list that gives the reported numbers; without one of that name there is no test split.
        val: How much of training becomes the validation split, where there is no list ``val`` of its own: a fraction in
            (0, 1) or a number of frames.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    list_file: ClassVar[str] = "taskonomy.json"
    columns: ClassVar[tuple[str, ...]] = ("image", "seg", "normal", "depth", "keypoint", "edge")
    kind: Literal["taskonomy"] = "taskonomy"
    size: Size | None = (256, 256)
    depth: Literal["log", "metres"] = "log"

    def layout(self) -> Layout:
        """Return what the frames hold."""
        log = self.depth == "log"
        planes = (
            PICTURE,
            label_plane("seg", "segmentation", len(TASKONOMY_CLASSES), ignored=0, first=1),
            normal_plane("normal", "normals", decode=facing_normals, kinds="u"),
            Plane("depth", "depth", 1, "ui", "16-bit numbers", _width_fault, log_depth if log else metric_depth),
            *(
                Plane(name, name, 1, "ui", "16-bit numbers", _width_fault, partial(strength, strongest=strongest))
                for name, strongest in _STRONGEST.items()
            ),
        )
        tasks: tuple[dict[str, Any], ...] = (
            {"kind": "segmentation", "classes": len(TASKONOMY_CLASSES)},
            {"kind": "normals"},
            {"kind": "depth", "unit": "", "scale": "log"} if log else {"kind": "depth"},
            *({"kind": "regression", "name": name, "error": "absolute"} for name in _STRONGEST),
        )
        return Layout(planes, tasks, {"segmentation": TASKONOMY_CLASSES}, kinds=dict.fromkeys(_STRONGEST, "map"))
