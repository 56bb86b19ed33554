"""Cityscapes in the MTAN tree."""

from typing import Annotated, Literal

from pydantic import Field

from niwaki.data.base import datasets
from niwaki.data.frames import Layout, cityscapes_layout
from niwaki.data.mtan.tree import TreeData

__all__ = ["CityscapesData"]

_CLASSES = {"label": 7, "label_2": 2, "label_7": 7, "label_19": 19}


@datasets.register("cityscapes")
class CityscapesData(TreeData):
    """Cityscapes as the MTAN papers lay it out: segmentation and inverse depth, 128x256 or 256x512.

    ``<root>/{train,val}/{image,label_7,depth}/<i>.npy``: image ``[H, W, 3]`` in [0, 1], labels ``[H, W]`` from 0 and -1
    where unlabelled, depth ``[H, W, 1]``, 0 where invalid; any number dtype. Depth is scaled disparity: it has no unit,
    and larger is nearer. Errors are taken of these numbers as they are, as every published table does; ``rel`` is then
    large, because some disparities are nearly 0. Zooming in multiplies them (most published loaders divide).

    Attributes:
        root: The data set's folder.
        labels: The folder of labels: ``label_7`` or ``label_19`` (or ``label_2``) of MTAN, or LibMTL's ``label``.
        classes: How many classes the labels have; by default what the folder's name says, and 7 for ``label``.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        tasks: Names of the tasks to read (``segmentation``, ``depth``), where not all are wanted.
        val: How much of ``train`` becomes the validation split: a fraction in (0, 1) or a number of frames.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> CityscapesData(root="cityscapes", labels="label_19").layout().tasks[0]
        {'kind': 'segmentation', 'classes': 19}
    """

    kind: Literal["cityscapes"] = "cityscapes"
    labels: Literal["label", "label_2", "label_7", "label_19"] = "label_7"
    classes: Annotated[int, Field(ge=2)] | None = None

    def layout(self) -> Layout:
        """Return what the frames hold."""
        return cityscapes_layout(self.labels, self.classes or _CLASSES[self.labels])
