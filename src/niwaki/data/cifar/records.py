"""The two files: records of a coarse label, a fine label and a picture's bytes, and whether they are what they say."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.data.findings import Problem

__all__ = [
    "COARSE",
    "FILES",
    "FINE",
    "SIDE",
    "Labels",
    "label_problems",
    "open_records",
    "read_labels",
    "tree_problems",
]

FILES = {"train": "train.bin", "test": "test.bin"}
SIDE = 32
COARSE, FINE = 20, 100
_RECORD = 2 + 3 * SIDE * SIDE
_RECORD_OF_CIFAR10 = 1 + 3 * SIDE * SIDE
_PICKLED = ("train", "test", "meta")
_TWO_FILES = "a folder with train.bin and test.bin, the binary version of CIFAR-100"


class Labels(NamedTuple):
    """The labels of one file.

    Attributes:
        coarse: Superclass of each record, 0 to 19, ``[records]``.
        fine: Class of each record, 0 to 99, ``[records]``.
    """

    coarse: npt.NDArray[np.int64]
    fine: npt.NDArray[np.int64]


def open_records(path: Path) -> npt.NDArray[np.uint8]:
    """Return a file's records as a view of the file, ``uint8 [records, 3074]``."""
    return np.memmap(path, np.uint8, "r").reshape(-1, _RECORD)


def read_labels(root: Path) -> dict[str, Labels]:
    """Return the labels of both files."""
    labels = {}
    for split, name in FILES.items():
        head = open_records(root / name)[:, :2].astype(np.int64)
        labels[split] = Labels(head[:, 0], head[:, 1])
    return labels


def tree_problems(root: Path) -> Iterator[Problem]:
    """Look for missing files and for sizes that are no number of records.

    Args:
        root: The data set's folder.

    Yields:
        One problem a fault.
    """
    if not root.is_dir():
        yield Problem(str(root), "no such folder", f"{_TWO_FILES}; name it as the data's root (--set data.root=DIR)")
        return
    absent = [name for name in FILES.values() if not (root / name).is_file()]
    if len(absent) == len(FILES):
        yield Problem(str(root), *_instead(root))
        return
    for name in FILES.values():
        if name in absent:
            yield Problem(str(root / name), "no such file", _TWO_FILES)
        else:
            yield from _size_problem(root / name)


def label_problems(root: Path, labels: Mapping[str, Labels], *, alone: bool) -> Iterator[Problem]:
    """Look for labels that can't be.

    Args:
        root: The data set's folder.
        labels: Split to its labels.
        alone: Whether a class may be the only one of its superclass.

    Yields:
        One problem a fault: a label out of range, a class of two superclasses, a class that only the test file has, a
        superclass that can't be a task.
    """
    sound = True
    for split, found in labels.items():
        for what, values, count in (("coarse", found.coarse, COARSE), ("fine", found.fine, FINE)):
            wrong = np.flatnonzero(values >= count)
            if wrong.size:
                sound = False
                yield Problem(
                    str(root / FILES[split]),
                    f"{what} label {values[wrong[0]]} in record {wrong[0]} ({wrong.size} such records)",
                    f"{what} labels from 0 to {count - 1}",
                )
    if sound:
        yield from _map_problems(root, labels)
        yield from () if alone else _lonely_problems(root / FILES["train"], labels["train"])


def _instead(root: Path) -> tuple[str, str]:
    inner = next((each.name for each in sorted(root.iterdir()) if (each / FILES["train"]).is_file()), None)
    if inner is not None:
        return f"no train.bin and test.bin, but a folder {inner} that has them", f"that folder as root: {root / inner}"
    if any((root / name).is_file() for name in _PICKLED):
        return (
            "the pickled version (cifar-100-python)",
            f"{_TWO_FILES} (cifar-100-binary): opening a pickle runs code that is in it, so it is never opened",
        )
    return "neither train.bin nor test.bin", _TWO_FILES


def _size_problem(path: Path) -> Iterator[Problem]:
    size = path.stat().st_size
    if size and size % _RECORD == 0:
        return
    hint = ""
    if size and size % _RECORD_OF_CIFAR10 == 0:
        hint = "; records of 3073 bytes with a single label are CIFAR-10's"
    yield Problem(
        str(path),
        f"{size:,} bytes, which is {size // _RECORD:,} records and {size % _RECORD:,} bytes",
        f"records of {_RECORD} bytes (coarse label, fine label, 3 planes of 32x32), at least one{hint}",
    )


def _map_problems(root: Path, labels: Mapping[str, Labels]) -> Iterator[Problem]:
    home: dict[int, tuple[int, str]] = {}
    for split, found in labels.items():
        pairs: npt.NDArray[Any] = np.unique(np.stack([found.fine, found.coarse]), axis=1)
        for fine, coarse in pairs.T.tolist():
            if fine not in home and split != "train":
                there = f"fine class {fine}, which train.bin does not have"
                yield Problem(str(root / FILES[split]), there, "classes that can be learned from train.bin")
            first, where = home.setdefault(fine, (coarse, split))
            if first != coarse:
                yield Problem(
                    str(root / FILES[split]),
                    f"fine class {fine} in superclass {coarse}, and in superclass {first} ({FILES[where]})",
                    "each fine class in one superclass, the same in both files",
                )


def _lonely_problems(path: Path, labels: Labels) -> Iterator[Problem]:
    for coarse in np.unique(labels.coarse).tolist():
        inside = np.unique(labels.fine[labels.coarse == coarse])
        if len(inside) == 1:
            yield Problem(
                str(path),
                f"a single class, {inside[0]}, in superclass {coarse}",
                "two classes or more in each superclass, or mode=coarse_fine",
            )
