"""Which files the tree holds, and whether their headers fit one another. No pixel is read here."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from niwaki.data.findings import Problem

__all__ = ["Folder", "frame_numbers", "tree_problems"]


@dataclass(frozen=True)
class Folder:
    """One kind of file in the tree.

    Attributes:
        name: The folder's name.
        channels: Channels last, or 0 for a plain map ``[H, W]``.
        kinds: NumPy's letters of the number kinds allowed.
        numbers: The same for people.
    """

    name: str
    channels: int
    kinds: str
    numbers: str

    def shape_of(self, size: tuple[int, int]) -> str:
        """Return the expected shape as text."""
        return f"[{size[0]}, {size[1]}, {self.channels}]" if self.channels else f"[{size[0]}, {size[1]}]"


def frame_numbers(split: Path, folder: str) -> list[int]:
    """Return the numbers of a folder's files ``<i>.npy``, ascending; none where the folder is missing."""
    found = (re.fullmatch(r"(\d+)\.npy", path.name) for path in _files(split / folder))
    return sorted(int(match[1]) for match in found if match)


def _files(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def tree_problems(root: Path, splits: tuple[str, ...], folders: tuple[Folder, ...]) -> Iterator[Problem]:
    """Look for missing folders and files and for headers that don't fit.

    Args:
        root: The data set's folder.
        splits: Names of the splits' folders.
        folders: What each split must hold.

    Yields:
        One problem a fault, in the order of the tree.
    """
    if not root.is_dir():
        yield Problem(
            str(root),
            "no such folder",
            f"a folder with {' and '.join(splits)}; name it as the data's root (--set data.root=DIR)",
        )
        return
    for split in splits:
        missing = [each for each in folders if not (root / split / each.name).is_dir()]
        for each in missing:
            yield Problem(
                str(root / split / each.name), "no such folder", f"a folder of {each.name} files 0.npy, 1.npy, ..."
            )
        if not missing:
            yield from _split_problems(root / split, folders)


def _split_problems(split: Path, folders: tuple[Folder, ...]) -> Iterator[Problem]:
    numbers = {each.name: set(frame_numbers(split, each.name)) for each in folders}
    every = sorted(set().union(*numbers.values()))
    if not every:
        yield Problem(str(split / folders[0].name), "no file", "files 0.npy, 1.npy, ...")
    for number in every:
        absent = [each.name for each in folders if number not in numbers[each.name]]
        for name in absent:
            there = next(other for other in numbers if number in numbers[other])
            yield Problem(
                str(split / name / f"{number}.npy"),
                "no such file",
                f"a file for each number, as {there} has {number}.npy",
            )
        if not absent:
            yield from _frame_problems({each: split / each.name / f"{number}.npy" for each in folders})


def _frame_problems(files: Mapping[Folder, Path]) -> Iterator[Problem]:
    size: tuple[int, int] | None = None
    for folder, path in files.items():
        try:
            header = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            yield Problem(str(path), f"a file that can't be read ({error})", "a NumPy array without pickled objects")
            continue
        if header.dtype.kind not in folder.kinds:
            yield Problem(str(path), f"dtype {header.dtype}", folder.numbers)
        if size is None and header.ndim >= 2:
            size = (int(header.shape[0]), int(header.shape[1]))
        yield from _shape_problem(folder, path, header.shape, size or (0, 0))


def _shape_problem(folder: Folder, path: Path, shape: tuple[int, ...], size: tuple[int, int]) -> Iterator[Problem]:
    fits = shape == ((*size, folder.channels) if folder.channels else size)
    # A map with one channel may leave it out, and a plain map may have one.
    fits = fits or (folder.channels <= 1 and shape in {size, (*size, 1)})
    if not fits or 0 in shape:
        yield Problem(
            str(path), f"shape {list(shape)}", f"shape {folder.shape_of(size)}, as the image of that number has"
        )
