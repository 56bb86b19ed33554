"""Data that AdaShare's JSON lists name, and which of their lists is which split."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from niwaki.data.adashare.rows import Rows, read_rows, row_problems
from niwaki.data.findings import Problem, first_problems
from niwaki.data.frames import Frame, FrameData, Listing, Plane

__all__ = ["ListedData", "split_rows"]

_HALVES = ("train1", "train2")


class ListedData(FrameData):
    """Data that a JSON list in its folder names.

    Attributes:
        test: The list that gives the reported numbers; without one of that name there is no test split.
    """

    list_file: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    test: str = "test"

    def listing(self, planes: tuple[Plane, ...]) -> Listing:
        """Return the frames on disk, their files in the order of the planes."""
        file = self.root / self.list_file
        rows = read_rows(file)
        if isinstance(rows, Problem):
            return Listing(problems=(rows,))
        chosen, notes = split_rows(rows, self.test)
        problems = first_problems(_problems(file, rows, chosen, self.columns))
        if problems:
            return Listing(problems=problems)
        places = [self.columns.index(plane.name) for plane in planes]
        splits = {split: _frames(rows, names, places) for split, names in chosen.items()}
        return Listing(splits, notes=(*notes, *_missing(splits, planes)))


def split_rows(rows: Rows, test: str) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """Tell which lists make which split.

    ``train`` is the training split, or ``train1`` and ``train2`` together where it is missing. ``val`` picks the epoch,
    unless it shares pictures with another split: then validation is carved from training.

    Args:
        rows: Lists of rows by name.
        test: Name of the list that gives the reported numbers.

    Returns:
        Split to the names of its lists, and notes on what was decided.

    Examples:
        >>> split_rows({"train1": [["a.png"]], "train2": [["b.png"]], "val": [["a.png"]]}, "test")[0]
        {'train': ('train1', 'train2')}
    """
    train = ("train",) if rows.get("train") else tuple(name for name in _HALVES if rows.get(name))
    chosen, notes = {"train": train}, []
    if rows.get("val") and test != "val":
        others = _pictures(rows, (*train, test))
        common = len(_pictures(rows, ("val",)) & others)
        if common:
            notes.append(f"the list val is not used: it shares {common} pictures with other splits")
        else:
            chosen["val"] = ("val",)
    if rows.get(test):
        chosen["test"] = (test,)
    else:
        notes.append(f"there is no list {test}, so nothing is tested")
    return chosen, tuple(notes)


def _pictures(rows: Rows, names: Sequence[str]) -> set[str]:
    return {str(row[0]) for name in names for row in rows.get(name, ()) if isinstance(row, list) and row}


def _problems(file: Path, rows: Rows, chosen: dict[str, tuple[str, ...]], columns: Sequence[str]) -> Iterator[Problem]:
    if not chosen["train"]:
        found = ", ".join(rows) or "nothing"
        yield Problem(str(file), f"the lists {found}", "a list train with samples (or train1 and train2)")
    for names in chosen.values():
        for name in names:
            yield from row_problems(file, name, rows[name], columns)
    common = _pictures(rows, chosen["train"]) & _pictures(rows, chosen.get("test", ()))
    if common:
        found = f"{len(common)} pictures of {chosen['test'][0]} in train too, such as {min(common)}"
        yield Problem(str(file), found, "splits without a picture in common")


def _frames(rows: Rows, names: Sequence[str], places: Sequence[int]) -> list[Frame]:
    return [tuple(row[place] or None for place in places) for name in names for row in rows[name]]


def _missing(splits: dict[str, list[Frame]], planes: Sequence[Plane]) -> Iterator[str]:
    """Say how many samples of a split lack which file."""
    for split, frames in splits.items():
        for place, plane in enumerate(planes):
            lacking = sum(frame[place] is None for frame in frames)
            if lacking:
                yield f"{lacking} of {len(frames)} samples of {split} have no {plane.name}"
