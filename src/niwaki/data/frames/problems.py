"""What is wrong with the files of frames: first their headers, then their values."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from niwaki.data.findings import Problem
from niwaki.data.frames.files import UNREADABLE, header, load
from niwaki.data.frames.plane import Frame, Plane, size_of

__all__ = ["header_problems", "present", "value_problems"]


def present(root: Path, planes: Sequence[Plane], frame: Frame) -> list[tuple[Plane, Path]]:
    """Return the planes a frame has, with their files."""
    return [(plane, root / path) for plane, path in zip(planes, frame, strict=True) if path is not None]


def header_problems(root: Path, planes: Sequence[Plane], frame: Frame) -> Iterator[Problem]:
    """Look for files that are missing or unreadable, and for shapes and dtypes that don't fit.

    Args:
        root: The data's folder.
        planes: The kinds of files, the picture first.
        frame: The files.

    Yields:
        At most one problem a file.
    """
    size: tuple[int, int] | None = None
    for plane, path in present(root, planes, frame):
        try:
            shape, dtype = header(path)
        except FileNotFoundError:
            yield Problem(str(path), "no such file", f"the {plane.name} of a frame")
            continue
        except UNREADABLE as error:
            yield Problem(str(path), f"a file that can't be read ({error})", _READABLE)
            continue
        size = size or size_of(shape)
        fault = plane.form_fault(shape, dtype, size)
        if fault is not None:
            yield Problem(str(path), *fault)


def value_problems(root: Path, planes: Sequence[Plane], frame: Frame) -> Iterator[Problem]:
    """Look for values that can't be.

    Args:
        root: The data's folder.
        planes: The kinds of files.
        frame: The files.

    Yields:
        At most one problem a file.
    """
    for plane, path in present(root, planes, frame):
        try:
            fault = plane.fault(load(path))
        except UNREADABLE as error:
            yield Problem(str(path), f"a file that can't be read ({error})", _READABLE)
            continue
        if fault is not None:
            yield Problem(str(path), *fault)


_READABLE = "a NumPy array without pickled objects, or a picture"
