"""The tree: ``<root>/{train,val}/{image,label,depth,...}/<i>.npy``, and which of its files are missing."""

import re
from collections.abc import Iterator
from pathlib import Path

from niwaki.data.findings import Problem, first_problems
from niwaki.data.frames import Frame, FrameData, Listing, Plane

__all__ = ["TreeData", "frame_numbers", "tree_problems"]

_SPLITS = {"train": "train", "test": "val"}


class TreeData(FrameData):
    """Data in the tree of the MTAN papers.

    The literature reports on the folder ``val``, so it is the test split here, and validation is carved from ``train``.
    """

    def listing(self, planes: tuple[Plane, ...]) -> Listing:
        """Return the frames on disk, their files in the order of the planes."""
        problems = first_problems(tree_problems(self.root, planes))
        if problems:
            return Listing(problems=problems)
        splits = {split: _frames(self.root, folder, planes) for split, folder in _SPLITS.items()}
        return Listing(splits, notes=("the folder val is the test split, as in the literature",))


def _frames(root: Path, split: str, planes: tuple[Plane, ...]) -> list[Frame]:
    numbers = frame_numbers(root / split / planes[0].name)
    return [tuple(f"{split}/{plane.name}/{number}.npy" for plane in planes) for number in numbers]


def frame_numbers(folder: Path) -> list[int]:
    """Return the numbers of a folder's files ``<i>.npy``, ascending; none where the folder is missing."""
    files = folder.iterdir() if folder.is_dir() else ()
    found = (re.fullmatch(r"(\d+)\.npy", path.name) for path in files)
    return sorted(int(match[1]) for match in found if match)


def tree_problems(root: Path, planes: tuple[Plane, ...]) -> Iterator[Problem]:
    """Look for missing folders and files.

    Args:
        root: The data set's folder.
        planes: What each split must hold.

    Yields:
        One problem a fault, in the order of the tree.
    """
    if not root.is_dir():
        folders = " and ".join(_SPLITS.values())
        expected = f"a folder with {folders}; name it as the data's root (--set data.root=DIR)"
        yield Problem(str(root), "no such folder", expected)
        return
    for split in _SPLITS.values():
        missing = [each for each in planes if not (root / split / each.name).is_dir()]
        for each in missing:
            expected = f"a folder of {each.name} files 0.npy, 1.npy, ..."
            yield Problem(str(root / split / each.name), "no such folder", expected)
        if not missing:
            yield from _split_problems(root / split, planes)


def _split_problems(split: Path, planes: tuple[Plane, ...]) -> Iterator[Problem]:
    numbers = {each.name: set(frame_numbers(split / each.name)) for each in planes}
    every = sorted(set().union(*numbers.values()))
    if not every:
        yield Problem(str(split / planes[0].name), "no file", "files 0.npy, 1.npy, ...")
    for number in every:
        for name in (name for name, there in numbers.items() if number not in there):
            other = next(other for other, there in numbers.items() if number in there)
            expected = f"a file for each number, as {other} has {number}.npy"
            yield Problem(str(split / name / f"{number}.npy"), "no such file", expected)
