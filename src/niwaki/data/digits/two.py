"""The settings of the two-digit tasks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from niwaki.data.base import DataSettings, Progress, SampleDataset, Splits, datasets
from niwaki.data.carve import carve
from niwaki.data.counting import ClassFindings, LabelCounts
from niwaki.data.digits.archive import CLASSES, SPLITS, Pictures, archive_problems, read_pictures
from niwaki.data.digits.classes import class_names
from niwaki.data.digits.compose import MOST_SHIFT
from niwaki.data.digits.dataset import Pairs
from niwaki.data.findings import Findings, Problem, first_problems
from niwaki.data.mixing import mix

__all__ = ["TwoDigitsData"]

_SEEDS = {"train": 0, "val": 1, "test": 2}


@datasets.register("two_digits")
class TwoDigitsData(DataSettings):
    """Two small pictures in one, a left and a right one to tell apart: MultiMNIST, MultiFashion, Fashion+MNIST.

    ``<root>/<left>`` and ``<root>/<right>`` are folders in MNIST's format: IDX files, gzipped IDX files, or one
    ``.npz`` with ``x_train y_train x_test y_test``. A 28x28 picture of ``left`` lies from the top left of 36x36
    pixels, one of ``right`` from the bottom right; where both are, the brighter pixel is seen. Pairs are chosen by
    seed and index, the same on every machine. Test pairs are made of test pictures; validation pairs of training
    pictures that no training pair uses.

    Attributes:
        root: The folder that holds the folders.
        left: Folder of the left pictures, such as ``mnist`` or ``fashion_mnist``.
        right: Folder of the right pictures; the same folder for MultiMNIST and MultiFashion.
        train: Pairs to learn from.
        val: Pairs that pick the epoch; their share of the training pictures is their share of these pairs.
        test: Pairs for the reported numbers.
        shift: The largest random shift of each picture out of its corner, 0 to 3 pixels.
        seed: Names the pairs.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["two_digits"] = "two_digits"
    root: Path
    left: str = Field(default="mnist", min_length=1)
    right: str = Field(default="mnist", min_length=1)
    train: int = Field(default=50_000, ge=1)
    val: int = Field(default=10_000, ge=1)
    test: int = Field(default=10_000, ge=1)
    shift: int = Field(default=2, ge=0, le=MOST_SHIFT)
    seed: int = Field(default=0, ge=0)

    def open(self, *, progress: Progress | None = None) -> Splits:
        """Check all files, and return the splits.

        Args:
            progress: Not needed here: opening is quick.

        Returns:
            The splits.

        Raises:
            DataError: With the first things wrong, each with its file.
        """
        del progress
        Findings(problems=first_problems(self._problems())).raise_if_wrong()
        learn, pick = self._sources("train")
        (test,) = self._sources("test")
        classes = {task: class_names(folder) for task, folder in self._folders().items()}
        used = f"validation: {self.val:,} pairs of {len(pick['left'].labels):,} training pictures that train has not"
        return Splits(
            train=self._pairs("train", learn),
            val=self._pairs("val", pick),
            test=self._pairs("test", test),
            tasks=tuple({"kind": "classification", "name": task, "classes": CLASSES} for task in classes),
            notes=(used,),
            classes=classes,
        )

    def check(self) -> Findings:
        """Read every file and return how often each class is there, or the first things wrong."""
        problems = first_problems(self._problems())
        if problems:
            return Findings(problems=problems)
        tasks = []
        for task, folder in self._folders().items():
            labels = {split: read_pictures(self.root / folder, split).labels for split in SPLITS}
            counts = {split: np.bincount(found, minlength=CLASSES) for split, found in labels.items()}
            tasks.append(LabelCounts(f"{task} ({folder})", counts))
        pairs = (
            f"{self.train:,} training, {self.val:,} validation and {self.test:,} test pairs are made of these pictures"
        )
        return ClassFindings(tasks=tuple(tasks), notes=(pairs,))

    def _folders(self) -> dict[str, str]:
        return {"left": self.left, "right": self.right}

    def _problems(self) -> Iterator[Problem]:
        if not self.root.is_dir():
            expected = f"a folder with {' and '.join(dict.fromkeys(self._folders().values()))} (--set data.root=DIR)"
            yield Problem(str(self.root), "no such folder", expected)
            return
        for folder in dict.fromkeys(self._folders().values()):
            yield from archive_problems(self.root / folder)

    def _sources(self, split: str) -> tuple[dict[str, Pictures], ...]:
        """Return the pictures by task: of ``train`` those to learn from and those that pick the epoch."""
        whole = {folder: read_pictures(self.root / folder, split) for folder in dict.fromkeys(self._folders().values())}
        by_task = {task: whole[folder] for task, folder in self._folders().items()}
        if split == "test":
            return (by_task,)
        share = self.val / (self.train + self.val)
        parts = {folder: carve(len(found.labels), share) for folder, found in whole.items()}
        return tuple(
            {task: _some(by_task[task], parts[folder][part]) for task, folder in self._folders().items()}
            for part in (0, 1)
        )

    def _pairs(self, split: str, sources: dict[str, Pictures]) -> SampleDataset:
        seed, count = mix(self.seed, _SEEDS[split]), int(getattr(self, split))
        return Pairs(sources["left"], sources["right"], seed=seed, count=count, shift=self.shift)


def _some(pictures: Pictures, chosen: list[int]) -> Pictures:
    return Pictures(pictures.images[chosen], pictures.labels[chosen])
