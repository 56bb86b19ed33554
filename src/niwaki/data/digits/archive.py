"""A folder of MNIST-format files: IDX, gzipped IDX, or one ``.npz``."""

import zipfile
import zlib
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.data.digits.idx import Wrong, read_idx
from niwaki.data.findings import Problem

__all__ = ["CLASSES", "SIDE", "SPLITS", "Pictures", "archive_problems", "read_pictures"]

SIDE = 28
CLASSES = 10
SPLITS = ("train", "test")
_STEMS = {"train": "train", "test": "t10k"}
_EXPECTED = (
    "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (each as it "
    "is or with .gz), or one .npz with x_train, y_train, x_test and y_test"
)

Array = npt.NDArray[Any]


class Pictures(NamedTuple):
    """The pictures of one split.

    Attributes:
        images: uint8 ``[n, 28, 28]``.
        labels: int64 ``[n]``, 0 to 9.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]


def read_pictures(folder: Path, split: str) -> Pictures:
    """Read one split of a folder.

    Args:
        folder: The folder that holds the files.
        split: ``"train"`` or ``"test"``.

    Returns:
        The pictures.

    Raises:
        Wrong: When a file is missing or not as the format says.
    """
    if not folder.is_dir():
        raise Wrong(folder, "no such folder", _EXPECTED)
    files = [_idx_file(folder, split, what) for what in ("images-idx3", "labels-idx1")]
    present = [file for file in files if file.is_file()]
    if len(present) == 2:
        return _checked(tuple(files), read_idx(files[0], 3), read_idx(files[1], 1))
    packed = _packed(folder)
    if packed is None:
        missing = next(file for file in files if not file.is_file())
        somewhere = any(_idx_file(folder, each, "images-idx3").is_file() for each in SPLITS)
        raise Wrong(*((missing, "no such file") if somewhere or present else (folder, "none of its files")), _EXPECTED)
    return _checked((packed, packed), *_unpacked(packed, split))


def archive_problems(folder: Path) -> Iterator[Problem]:
    """Look for missing files and for contents that can't be.

    Args:
        folder: The folder that holds the files.

    Yields:
        At most one problem a split.
    """
    for split in SPLITS:
        try:
            read_pictures(folder, split)
        except Wrong as wrong:
            yield wrong.problem
            if wrong.problem.file == str(folder):
                return


def _idx_file(folder: Path, split: str, what: str) -> Path:
    """Return the file under any of the names it goes by; under its usual one where there is none."""
    names = [
        f"{_STEMS[split]}-{what}-ubyte".replace("-idx", sep + "idx") + end for sep, end in product("-.", ("", ".gz"))
    ]
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _packed(folder: Path) -> Path | None:
    found = sorted(folder.glob("*.npz"))
    own = [path for path in found if path.stem == folder.name] or found
    if len(own) > 1:
        raise Wrong(
            folder,
            f"{len(own)} .npz files ({', '.join(path.name for path in own)})",
            f"a single one, or one called {folder.name}.npz",
        )
    return own[0] if own else None


def _unpacked(path: Path, split: str) -> tuple[Array, Array]:
    keys = (f"x_{split}", f"y_{split}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            missing = next((key for key in keys if key not in archive.files), None)
            if missing is not None:
                held = ", ".join(archive.files) or "nothing"
                raise Wrong(path, f"no {missing}; it holds {held}", "x_train, y_train, x_test and y_test")
            images, labels = (archive[key] for key in keys)
            return images, labels
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        expected = "NumPy arrays without pickled objects; copy it again"
        raise Wrong(path, f"a file that can't be read ({error})", expected) from error


def _checked(files: tuple[Path, ...], images: Array, labels: Array) -> Pictures:
    if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE) or not len(images):
        raise Wrong(
            files[0], f"pictures {images.dtype} {list(images.shape)}", f"uint8 [n, {SIDE}, {SIDE}], n at least 1"
        )
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        expected = f"whole numbers [{len(images)}], one for each picture of {files[0].name}"
        raise Wrong(files[1], f"labels {labels.dtype} {list(labels.shape)}", expected)
    if int(labels.min()) < 0 or int(labels.max()) >= CLASSES:
        raise Wrong(files[1], f"labels from {labels.min()} to {labels.max()}", f"labels from 0 to {CLASSES - 1}")
    return Pictures(images, labels.astype(np.int64))
