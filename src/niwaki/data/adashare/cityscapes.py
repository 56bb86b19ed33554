"""Cityscapes as AdaShare lists it."""

from typing import ClassVar, Literal

from niwaki.data.adashare.listed import ListedData
from niwaki.data.base import datasets
from niwaki.data.frames import Layout, cityscapes_layout

__all__ = ["AdaShareCityscapesData"]

_SMALLEST = 3e-5


@datasets.register("cityscapes_adashare")
class AdaShareCityscapesData(ListedData):
    """Cityscapes as AdaShare lists it: 19-, 7- or 2-class segmentation and inverse depth, 256x512.

    ``<root>/cityscape.json`` holds ``{split: [[image, depth, label2, label7, label19], ...]}``, paths of ``.npy`` files
    relative to the folder: image ``[H, W, 3]`` in [0, 1], depth ``[H, W, 1]``, labels ``[H, W]`` from 0, and -1 where
    unlabelled. A path may be null. Depth is scaled disparity: it has no unit, and larger is nearer. Disparities up to
    3e-5 are no labels, as AdaShare has it, which is why its relative errors are so much smaller than MTAN's.

    Attributes:
        root: The folder of the list.
        classes: Which labels: 19, 7 or 2 classes.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        tasks: Names of the tasks to read (``segmentation``, ``depth``), where not all are wanted.
        test: The list that gives the reported numbers; without one of that name there is no test split.
        val: How much of training becomes the validation split, where there is no list ``val`` of its own: a fraction in
            (0, 1) or a number of frames.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    list_file: ClassVar[str] = "cityscape.json"
    columns: ClassVar[tuple[str, ...]] = ("image", "depth", "label2", "label7", "label19")
    kind: Literal["cityscapes_adashare"] = "cityscapes_adashare"
    classes: Literal[2, 7, 19] = 19

    def layout(self) -> Layout:
        """Return what the frames hold."""
        return cityscapes_layout(f"label{self.classes}", self.classes, above=_SMALLEST)
