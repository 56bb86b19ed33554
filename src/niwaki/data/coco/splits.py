"""Both splits on disk, and whether they are of one kind."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from niwaki.data.base import Progress
from niwaki.data.coco.ledger import Ledger
from niwaki.data.coco.samples import Annotated, Vocabulary, picture_fault
from niwaki.data.coco.split import Labels, read_split
from niwaki.data.findings import Problem
from niwaki.data.spread import spread

__all__ = ["OnDisk", "read_splits"]


@dataclass
class OnDisk:
    """What was found.

    Attributes:
        pictures: Split (``train``, ``test``) to its pictures.
        words: What is told apart on them.
        ledgers: Name of a split on disk to what is wrong with single things in it, and what is odd.
        problems: What makes the whole unusable.
    """

    pictures: dict[str, tuple[Annotated, ...]] = field(default_factory=dict)
    words: Vocabulary = field(default_factory=Vocabulary)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    def notes(self) -> tuple[str, ...]:
        """Return what was odd or left out, split by split."""
        return tuple(f"{name}: {line}" for name, ledger in self.ledgers.items() for line in ledger.notes())


def read_splits(
    root: Path,
    names: Mapping[str, str],
    tasks: Collection[str],
    labels: Labels,
    *,
    headers: int | None,
    progress: Progress | None,
) -> OnDisk:
    """Read all annotations, and pictures' headers.

    Args:
        root: The data's folder.
        names: Split to its name on disk, ``train`` first.
        tasks: Names of the tasks that are wanted.
        labels: What segmentation is read from.
        headers: How many pictures of each split are looked at; None for all.
        progress: Told how many splits are read.

    Returns:
        What was found.
    """
    found = OnDisk()
    for number, (split, name) in enumerate(names.items()):
        if progress is not None:
            progress("annotations", number, len(names))
        ledger = found.ledgers[name] = Ledger()
        read = read_split(root, name, tasks, labels, ledger)
        if isinstance(read, Problem):
            found.problems += (read,)
            continue
        found.pictures[split] = _readable(read.pictures, headers, ledger)
        if split == "train":
            found.words = read.words
        elif "train" in found.pictures and read.words != found.words:
            annotations = str(root / "annotations")
            said = f"other categories in {name} than in {names['train']}"
            found.problems += (Problem(annotations, said, "the same categories, with the same ids, in both"),)
        if not found.pictures[split]:
            found.problems += tuple(ledger.problems())[:1] or (Problem(str(root / name), "no picture", "at least one"),)
    if progress is not None:
        progress("annotations", len(names), len(names))
    return found


def _readable(pictures: Sequence[Annotated], headers: int | None, ledger: Ledger) -> tuple[Annotated, ...]:
    """Return the pictures whose headers say what their annotations say, as far as they are looked at."""
    wrong = set()
    for place in spread(len(pictures), headers):
        fault = picture_fault(pictures[place])
        if fault is not None:
            wrong.add(place)
            ledger.wrong("pictures that can't be used", pictures[place].file, *fault)
    return tuple(each for place, each in enumerate(pictures) if place not in wrong)
