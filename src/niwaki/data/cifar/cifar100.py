"""The settings of CIFAR-100: twenty tasks with inputs of their own, or two heads on one input."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from niwaki.data.augment import Augmented
from niwaki.data.base import DataSettings, Progress, SampleDataset, Split, Splits, datasets
from niwaki.data.carve import carve
from niwaki.data.cifar.dataset import Records
from niwaki.data.cifar.names import Tree, name_problems, read_tree
from niwaki.data.cifar.records import COARSE, FILES, FINE, Labels, label_problems, read_labels, tree_problems
from niwaki.data.cifar.views import View, by_superclass, coarse_and_fine
from niwaki.data.counting import ClassFindings, LabelCounts
from niwaki.data.findings import Findings, Problem, first_problems
from niwaki.data.kinds import kinds_of
from niwaki.data.mixing import mix
from niwaki.data.shift import ShiftMirror

__all__ = ["Cifar100Data"]


@datasets.register("cifar100")
class Cifar100Data(DataSettings):
    """CIFAR-100 in its binary layout, as twenty small tasks or as one input with a coarse and a fine head.

    ``<root>/train.bin`` and ``test.bin`` hold records of 3074 bytes: superclass, class, and 32x32 pixels as planes of
    red, green and blue. Which class belongs to which superclass is read off the records. Names come from
    ``coarse_label_names.txt`` and ``fine_label_names.txt`` beside them, where they are there. The pickled layout is
    never opened. Validation is carved from ``train.bin``, of each task its share.

    Attributes:
        root: The folder that holds the files.
        mode: ``"superclasses"``: a task for each superclass, whose inputs are its own pictures and whose classes are
            the classes in it (20 tasks of 5 classes). ``"coarse_fine"``: two tasks on every picture.
        val: How much of a task's training pictures becomes validation: a fraction in (0, 1) or a number.
        augment: Random changes of training samples; None for none.
        seed: Names the stream of changes.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["cifar100"] = "cifar100"
    root: Path
    mode: Literal["superclasses", "coarse_fine"] = "superclasses"
    val: int | float = Field(default=0.1, gt=0)
    augment: ShiftMirror | None = ShiftMirror()
    seed: int = Field(default=0, ge=0)

    def open(self, *, progress: Progress | None = None) -> Splits[Split]:
        """Check both files' sizes and every label, and return the splits.

        Args:
            progress: Not needed here: opening is quick.

        Returns:
            The splits, by task in the mode ``"superclasses"``.

        Raises:
            DataError: With the first things wrong, each with its file.
        """
        del progress
        Findings(problems=first_problems(self._problems())).raise_if_wrong()
        labels = read_labels(self.root)
        tree = read_tree(self.root, labels["train"])
        train, test = (self._views(labels[split], tree) for split in FILES)
        parts = {name: carve(len(view.places), self.val) for name, view in train.items()}
        learn = {name: self._records("train", train[name].some(part)) for name, (part, _) in parts.items()}
        pick = {name: self._records("train", train[name].some(part)) for name, (_, part) in parts.items()}
        classes = self._classes(tree)
        tasks = tuple({"kind": "classification", "name": task, "classes": len(each)} for task, each in classes.items())
        carved = f"validation: {sum(map(len, pick.values())):,} pictures of train.bin, of each task its share"
        return Splits(
            train=self._joined(self._changed(learn, tasks)),
            val=self._joined(pick),
            test=self._joined({name: self._records("test", view) for name, view in test.items()}),
            tasks=tasks,
            notes=(*_notes(tree), carved),
            classes=classes,
        )

    def check(self) -> Findings:
        """Read every label and return how often each class is there, or the first things wrong."""
        problems = first_problems(self._problems())
        if problems:
            return Findings(problems=problems)
        labels = read_labels(self.root)
        tree = read_tree(self.root, labels["train"])
        seen: dict[str, dict[str, npt.NDArray[np.int64]]] = {}
        for split, found in labels.items():
            views = self._views(found, tree).values()
            seen[split] = {task: values for view in views for task, values in view.labels.items()}
        tasks = tuple(
            LabelCounts(task, {split: np.bincount(seen[split][task], minlength=len(names)) for split in seen})
            for task, names in self._classes(tree).items()
        )
        return ClassFindings(tasks=tasks, notes=_notes(tree))

    def _problems(self) -> Iterator[Problem]:
        files = [*tree_problems(self.root), *name_problems(self.root)]
        yield from files
        if not files:
            labels = read_labels(self.root)
            yield from label_problems(self.root, labels, alone=self.mode == "coarse_fine")

    def _views(self, labels: Labels, tree: Tree) -> dict[str, View]:
        return {"": coarse_and_fine(labels)} if self.mode == "coarse_fine" else by_superclass(labels, tree)

    def _classes(self, tree: Tree) -> dict[str, tuple[str, ...]]:
        if self.mode == "coarse_fine":
            return {"coarse": tree.coarse, "fine": tree.fine}
        return {tree.coarse[number]: tuple(tree.fine[leaf] for leaf in five) for number, five in tree.members.items()}

    def _records(self, split: str, view: View) -> SampleDataset:
        return Records(self.root / FILES[split], view.places, view.labels)

    def _changed(self, parts: dict[str, SampleDataset], tasks: tuple[dict[str, Any], ...]) -> dict[str, SampleDataset]:
        if self.augment is None:
            return parts
        seeds = {name: mix(self.seed, number) for number, name in enumerate(parts)}
        return {name: Augmented(each, self.augment, seeds[name], kinds_of(tasks)) for name, each in parts.items()}

    def _joined(self, parts: dict[str, SampleDataset]) -> Split:
        return parts[""] if self.mode == "coarse_fine" else parts


def _notes(tree: Tree) -> tuple[str, ...]:
    found = sum(map(len, tree.members.values()))
    there = f"{len(tree.members)} of {COARSE} superclasses and {found} of {FINE} classes"
    return (f"{there}; their names are {tree.origin}",)
