"""The settings of tasks with small pictures of their own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from niwaki.data.base import DataSettings, Progress, Sample, SampleDataset, Splits, datasets
from niwaki.data.carve import carve
from niwaki.data.counting import ClassFindings, LabelCounts
from niwaki.data.digits.archive import CLASSES, SPLITS, Pictures, archive_problems, read_pictures
from niwaki.data.digits.classes import class_names
from niwaki.data.findings import Findings, Problem, first_problems
from niwaki.settings import Settings

__all__ = ["DigitsByTask", "DigitsSource", "Singles"]


class DigitsSource(Settings):
    """Where a task's pictures come from.

    Attributes:
        folder: A folder in MNIST's format.
        turns: Quarter turns to the left of every picture, 0 to 3: the same pictures as another task.

    Examples:
        >>> DigitsSource(folder="mnist", turns=1).turns
        1
    """

    folder: str = Field(min_length=1)
    turns: int = Field(default=0, ge=0, le=3)

    @model_validator(mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        return {"folder": value} if isinstance(value, str) else value


class Singles(SampleDataset):
    """Pictures with one task's labels.

    Args:
        pictures: The pictures.
        task: The task's name.
        turns: Quarter turns to the left.
    """

    def __init__(self, pictures: Pictures, task: str, turns: int) -> None:
        self.pictures = pictures
        self.task = task
        self.turns = turns

    def __len__(self) -> int:
        return len(self.pictures.labels)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} is not among the {len(self)} of this split")
        turned = np.ascontiguousarray(np.rot90(self.pictures.images[index], self.turns))
        image = torch.from_numpy(turned.astype(np.float32))[None] / 255
        return image, {self.task: torch.tensor(int(self.pictures.labels[index]))}


@datasets.register("digits")
class DigitsByTask(DataSettings):
    """Tasks of ten classes of small pictures, each with pictures of its own: MNIST beside Fashion-MNIST.

    ``<root>/<folder>`` is in MNIST's format: IDX files, gzipped IDX files, or one ``.npz`` with
    ``x_train y_train x_test y_test``. Pictures are 28x28; those of validation are training pictures that are not
    learned from.

    Attributes:
        root: The folder that holds the folders.
        tasks: Task to its folder, or to a `DigitsSource`.
        train: Pictures of each task to learn from, at most.
        val: Pictures of each task that pick the epoch; their share of the training pictures is their share of these.
        test: Pictures of each task for the reported numbers, at most.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["digits"] = "digits"
    root: Path
    tasks: dict[str, DigitsSource] = Field(min_length=1)
    train: int = Field(default=50_000, ge=1)
    val: int = Field(default=10_000, ge=1)
    test: int = Field(default=10_000, ge=1)

    def open(self, *, progress: Progress | None = None) -> Splits[dict[str, SampleDataset]]:
        """Check all files, and return the splits by task.

        Args:
            progress: Not needed here: opening is quick.

        Returns:
            The splits.

        Raises:
            DataError: With the first things wrong, each with its file.
        """
        del progress
        Findings(problems=first_problems(self._problems())).raise_if_wrong()
        learn, pick = self._training()
        test = {task: read_pictures(self.root / each.folder, "test") for task, each in self.tasks.items()}
        return Splits(
            train=self._samples(learn, self.train),
            val=self._samples(pick, self.val),
            test=self._samples(test, self.test),
            tasks=tuple({"kind": "classification", "name": task, "classes": CLASSES} for task in self.tasks),
            notes=("validation: training pictures of each task that are not learned from",),
            classes={task: class_names(each.folder) for task, each in self.tasks.items()},
        )

    def check(self) -> Findings:
        """Read every file and return how often each class is there, or the first things wrong."""
        problems = first_problems(self._problems())
        if problems:
            return Findings(problems=problems)
        tasks = []
        for task, source in self.tasks.items():
            labels = {split: read_pictures(self.root / source.folder, split).labels for split in SPLITS}
            counts = {split: np.bincount(found, minlength=CLASSES) for split, found in labels.items()}
            tasks.append(LabelCounts(f"{task} ({source.folder})", counts))
        return ClassFindings(tasks=tuple(tasks), notes=())

    def _problems(self) -> Iterator[Problem]:
        folders = dict.fromkeys(each.folder for each in self.tasks.values())
        if not self.root.is_dir():
            expected = f"a folder with {' and '.join(folders)} (--set data.root=DIR)"
            yield Problem(str(self.root), "no such folder", expected)
            return
        for folder in folders:
            yield from archive_problems(self.root / folder)

    def _training(self) -> tuple[dict[str, Pictures], dict[str, Pictures]]:
        """Return the pictures to learn from and those that pick the epoch, by task."""
        learn, pick = {}, {}
        for task, source in self.tasks.items():
            whole = read_pictures(self.root / source.folder, "train")
            parts = carve(len(whole.labels), self.val / (self.train + self.val))
            learn[task], pick[task] = (Pictures(whole.images[part], whole.labels[part]) for part in parts)
        return learn, pick

    def _samples(self, by_task: dict[str, Pictures], most: int) -> dict[str, SampleDataset]:
        return {
            task: Singles(Pictures(found.images[:most], found.labels[:most]), task, self.tasks[task].turns)
            for task, found in by_task.items()
        }
