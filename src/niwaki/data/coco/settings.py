"""The settings of COCO."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from niwaki.data.augment import Augment, Augmented
from niwaki.data.base import DataSettings, Progress, Size, Splits, datasets
from niwaki.data.carve import carve
from niwaki.data.coco.heat import Drawn, Heat
from niwaki.data.coco.looking import look
from niwaki.data.coco.masks import rle
from niwaki.data.coco.samples import Annotated, AnnotatedPictures, Vocabulary
from niwaki.data.coco.split import Labels
from niwaki.data.coco.splits import OnDisk, read_splits
from niwaki.data.findings import Findings, Problem, first_problems
from niwaki.errors import Problem as Wrong
from niwaki.errors import SettingError

__all__ = ["CocoData"]

_HEADERS_READ = 4096
_REACH = 50
_HEATED = ("centres", "keypoints")


@datasets.register("coco")
class CocoData(DataSettings):
    """COCO in the layout of 2017, or your own in its form: segmentation, centres of objects, keypoints of people.

    ``<root>/annotations/`` holds ``instances_<split>.json`` (boxes and masks), ``person_keypoints_<split>.json``, and,
    where segmentation is read from them, ``stuff_<split>.json`` or ``panoptic_<split>.json`` with the folder
    ``panoptic_<split>``. Pictures lie in ``<root>/<split>/`` or ``<root>/images/<split>/``. All tasks look at the same
    picture, scaled to fit a frame of ``size`` and centred in it; the border is black, and unlabelled for every task.

    Attributes:
        root: The data set's folder.
        tasks: ``segmentation``, the class of each pixel; ``centres``, heat around the middles of boxes, a map for each
            category; ``keypoints``, heat around people's keypoints, a map for each. Files of tasks that are not named
            may be missing.
        labels: What segmentation is read from. ``instances``: objects, and a class for the background; ``stuff``:
            regions without a shape of their own; ``panoptic``: both.
        train: The split to learn from.
        test: The split that gives the reported numbers, or None.
        val: How much of training becomes the validation split: a fraction in (0, 1) or a number of pictures.
        size: Height and width of the frames, each at least 8.
        stride: Pixels of the frame to a cell of the heat, in both directions: 1 for networks that answer for every
            pixel, as all ready ones do. It divides height and width.
        skip_wrong: Whether pictures and annotations that can't be used are left out, and counted, instead of named.
        augment: Random changes of training samples; None for none. A mirror makes left keypoints right ones.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["coco"] = "coco"
    root: Path
    tasks: tuple[Literal["segmentation", "centres", "keypoints"], ...] = Field(
        default=("segmentation", "centres", "keypoints"), min_length=1
    )
    labels: Labels = "instances"
    train: str = Field(default="train2017", min_length=1)
    test: str | None = Field(default="val2017", min_length=1)
    val: int | float = Field(default=0.05, gt=0)
    size: Size = (256, 256)
    stride: Literal[1, 2, 4, 8] = 1
    skip_wrong: bool = False
    augment: Augment | None = Augment()
    seed: int = Field(default=0, ge=0)

    def open(self, *, progress: Progress | None = None) -> Splits:
        """Check the annotations, which files are there and some pictures' headers, and return the splits.

        Args:
            progress: Told how many files of annotations are read.

        Returns:
            The splits.

        Raises:
            DataError: With the first things wrong, each with its file.
            MissingExtraError: When pycocotools is not installed.
        """
        found = self._read(progress, None if self.skip_wrong else _HEADERS_READ)
        Findings(problems=first_problems(self._problems(found))).raise_if_wrong()
        whole = found.pictures["train"]
        learn, pick = carve(len(whole), self.val)
        heats, words = self._heats(found.words), found.words
        train = AnnotatedPictures([whole[index] for index in learn], words, self.size)
        changed = train if self.augment is None else Augmented(train, self.augment, self.seed, _kinds(heats))
        carved = f"validation: {len(pick):,} of {len(whole):,} pictures of {self.train}, in evenly spread runs"
        return Splits(
            train=Drawn(changed, heats, epoch_indexed=self.augment is not None),
            val=self._fixed([whole[index] for index in pick], words),
            test=self._fixed(found.pictures["test"], words) if "test" in found.pictures else None,
            tasks=self._plain(words),
            notes=(carved, *found.notes()),
            classes={task: getattr(words, task) for task in self._wanted},
        )

    def check(self) -> Findings:
        """Look at all annotations and pictures' headers, draw some, and return what was found, or what is wrong."""
        found = self._read(None, None)
        problems = first_problems(self._problems(found))
        if problems:
            return Findings(problems=problems)
        tasks, heats = self._plain(found.words), self._heats(found.words)
        return look(found, tasks, heats)

    @model_validator(mode="after")
    def _fits(self) -> "CocoData":
        if any(side % self.stride for side in self.size):
            message = f"{self.stride} does not divide the frame's {self.size[0]}x{self.size[1]}; choose another size"
            raise SettingError(message, (Wrong(("stride",), message, self.stride),))
        if self.train == self.test:
            message = f"{self.test} is the training split too; name another one, or null"
            raise SettingError(message, (Wrong(("test",), message, self.test),))
        return self

    @property
    def _wanted(self) -> tuple[str, ...]:
        return tuple(task for task in ("segmentation", "centres", "keypoints") if task in self.tasks)

    def _read(self, progress: Progress | None, headers: int | None) -> OnDisk:
        rle()
        names = {"train": self.train, **({"test": self.test} if self.test else {})}
        return read_splits(self.root, names, self._wanted, self.labels, headers=headers, progress=progress)

    def _problems(self, found: OnDisk) -> Iterator[Problem]:
        yield from found.problems
        if self.skip_wrong or found.problems:
            return
        advice = "; or skip_wrong=true, which leaves such things out"
        for problem in (each for ledger in found.ledgers.values() for each in ledger.problems()):
            yield problem._replace(expected=problem.expected + advice)
            advice = ""  # said once

    def _plain(self, words: Vocabulary) -> tuple[dict[str, Any], ...]:
        radius = max(min(self.size) // self.stride // _REACH, 1)
        heat = {"kind": "heatmap", "radius": radius}
        every: dict[str, dict[str, Any]] = {
            "segmentation": {"kind": "segmentation", "classes": len(words.segmentation)},
            "centres": {**heat, "name": "centres", "primary": "ap"},
            "keypoints": {**heat, "name": "keypoints"},
        }
        return tuple(every[task] for task in self._wanted)

    def _heats(self, words: Vocabulary) -> tuple[Heat, ...]:
        return tuple(Heat(each, len(getattr(words, each)), self.stride) for each in self._wanted if each in _HEATED)

    def _fixed(self, pictures: Sequence[Annotated], words: Vocabulary) -> Drawn:
        return Drawn(AnnotatedPictures(pictures, words, self.size), self._heats(words))


def _kinds(heats: Iterable[Heat]) -> dict[str, str]:
    """Return how each target changes with the picture before heat is drawn."""
    points = {each.points: "points" for each in heats}
    return {"segmentation": "segmentation", **points, **{each.unlabelled: "map" for each in heats}}
