"""NYUv2 in the MTAN layout."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from niwaki.data.augment import Augment, Augmented, kinds_of
from niwaki.data.base import DataSettings, Progress, Size, Splits, datasets
from niwaki.data.carve import carve
from niwaki.data.findings import Findings, Problem, SplitFindings, Tally, first_problems
from niwaki.data.mtan.dataset import Frames
from niwaki.data.mtan.frames import FOLDERS, frame_problems, read_frame
from niwaki.data.mtan.tree import frame_numbers, tree_problems
from niwaki.data.rooms.parts import CLASSES

__all__ = ["NYUv2Data"]

_SPLITS = ("train", "val")
_LOOK_AT = 16


@datasets.register("nyuv2")
class NYUv2Data(DataSettings):
    """NYUv2 as the MTAN papers lay it out: 13-class segmentation, depth in metres, surface normals.

    ``<root>/{train,val}/{image,label,depth,normal}/<i>.npy``: image ``[H, W, 3]`` in [0, 1], label ``[H, W]`` 0 to 12
    and -1 where unlabelled, depth ``[H, W, 1]`` metres, normal ``[H, W, 3]``; 0 is invalid; any number dtype. The
    literature reports on the folder ``val``, so it is the test split here, and validation is carved from ``train``.

    Attributes:
        root: The data set's folder.
        size: Height and width to bring every frame to, each at least 8; None leaves frames as they are.
        val: How much of ``train`` becomes the validation split: a fraction in (0, 1) or a number of frames.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["nyuv2"] = "nyuv2"
    root: Path
    size: Size | None = None
    val: int | float = Field(default=0.1, gt=0)
    augment: Augment | None = Augment()
    seed: int = Field(default=0, ge=0)

    def open(self, *, progress: Progress | None = None) -> Splits:
        """Check every file's header and some frames' values, and return the splits.

        Args:
            progress: Not needed here: opening is quick.

        Returns:
            The splits; ``test`` is the folder ``val``.

        Raises:
            DataError: With the first things wrong, each with its file.
        """
        del progress
        Findings(problems=first_problems(self._problems(_LOOK_AT))).raise_if_wrong()
        numbers = frame_numbers(self.root / "train", "image")
        learn, pick = carve(len(numbers), self.val)
        train = self._frames("train", [numbers[i] for i in learn])
        note = (
            f"validation: {len(pick)} of {len(numbers)} frames of train, in evenly spread runs; "
            "the folder val is the test split"
        )
        return Splits(
            train=train if self.augment is None else Augmented(train, self.augment, self.seed, kinds_of(_tasks())),
            val=self._frames("train", [numbers[i] for i in pick]),
            test=self._frames("val", frame_numbers(self.root / "val", "image")),
            tasks=_tasks(),
            notes=(note,),
        )

    def check(self) -> Findings:
        """Read every frame and return what was found, or the first things wrong."""
        problems = first_problems(self._problems(None))
        if problems:
            return Findings(problems=problems)
        return Findings(splits=tuple(self._look(split) for split in _SPLITS))

    def _frames(self, split: str, numbers: list[int]) -> Frames:
        return Frames(self.root / split, numbers, classes=len(CLASSES), size=self.size)

    def _problems(self, at_most: int | None) -> Iterator[Problem]:
        sound = True
        for problem in tree_problems(self.root, _SPLITS, FOLDERS):
            sound = False
            yield problem
        for split in _SPLITS if sound else ():
            numbers = frame_numbers(self.root / split, "image")
            step = 1 if at_most is None else max(len(numbers) // at_most, 1)
            for number in numbers[::step]:
                frame = read_frame(self.root / split, number)
                yield from frame_problems(self.root / split, number, frame, len(CLASSES))

    def _look(self, split: str) -> SplitFindings:
        numbers = frame_numbers(self.root / split, "image")
        tally = Tally(CLASSES)
        for number in numbers:
            frame = read_frame(self.root / split, number)
            tally.add(frame.label, frame.depth, frame.normal)
        return tally.findings(split, len(numbers))


def _tasks() -> tuple[dict[str, Any], ...]:
    return ({"kind": "segmentation", "classes": len(CLASSES)}, {"kind": "depth"}, {"kind": "normals"})
