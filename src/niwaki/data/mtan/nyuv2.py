"""NYUv2 in the MTAN tree."""

from typing import Literal

from niwaki.data.base import datasets
from niwaki.data.frames import PICTURE, Layout, depth_plane, label_plane, normal_plane, unit_normals
from niwaki.data.mtan.tree import TreeData
from niwaki.data.rooms.parts import CLASSES

__all__ = ["NYUv2Data"]


@datasets.register("nyuv2")
class NYUv2Data(TreeData):
    """NYUv2 as the MTAN papers lay it out: 13-class segmentation, depth in metres, surface normals.

    ``<root>/{train,val}/{image,label,depth,normal}/<i>.npy``: image ``[H, W, 3]`` in [0, 1], label ``[H, W]`` 0 to 12
    and -1 where unlabelled, depth ``[H, W, 1]`` metres, normal ``[H, W, 3]``; 0 is invalid; any number dtype. The
    literature reports on the folder ``val``, so it is the test split here, and validation is carved from ``train``.

    Attributes:
        root: The data set's folder.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        tasks: Names of the tasks to read (``segmentation``, ``depth``, ``normals``), where not all are wanted.
        val: How much of ``train`` becomes the validation split: a fraction in (0, 1) or a number of frames.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["nyuv2"] = "nyuv2"

    def layout(self) -> Layout:
        """Return what the frames hold."""
        planes = (
            PICTURE,
            label_plane("label", "segmentation", len(CLASSES)),
            depth_plane("depth", "depth"),
            normal_plane("normal", "normals", decode=unit_normals),
        )
        tasks = ({"kind": "segmentation", "classes": len(CLASSES)}, {"kind": "depth"}, {"kind": "normals"})
        return Layout(planes, tasks, classes={"segmentation": CLASSES})
