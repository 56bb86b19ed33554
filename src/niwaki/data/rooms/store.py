"""Rooms as bytes: how a sample is packed, and the files that keep samples from being drawn twice."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import numpy as np

from niwaki.atomic import atomic_target, cache_folder
from niwaki.data.rooms.arrays import Bytes, Floats
from niwaki.data.rooms.render import RENDERER_VERSION, RoomSample, render_room
from niwaki.errors import DataError, FileError

__all__ = ["PLANES", "pack", "store_file", "stored", "unpack"]

PLANES = 9
_STEPS_PER_METRE = 4096


def pack(sample: RoomSample) -> Bytes:
    """Return a sample as bytes: picture (3 planes), classes, depth in 1/4096 m (2), normals in 1/127 (3).

    Args:
        sample: A drawn room, no deeper than 16 m.

    Returns:
        Bytes, ``[9, H, W]``.
    """
    steps = np.minimum(np.rint(sample.depth * _STEPS_PER_METRE), 65535).astype(np.uint16)
    normals = (np.rint(sample.normals * 127) + 128).astype(np.uint8)
    high, low = (steps >> 8).astype(np.uint8), (steps & 255).astype(np.uint8)
    return np.concatenate([sample.image, sample.segmentation[None], high[None], low[None], normals])


def unpack(planes: Bytes) -> tuple[Floats, Bytes, Floats, Floats]:
    """Return picture, classes, depth and normals of packed bytes.

    Args:
        planes: Bytes, ``[9, H, W]``.

    Returns:
        Picture in [0, 1] ``[3, H, W]``, classes ``[H, W]``, depth in metres ``[H, W]``, unit normals ``[3, H, W]``.
    """
    image = planes[:3].astype(np.float32) / np.float32(255)
    depth = (planes[4].astype(np.float32) * 256 + planes[5]) / np.float32(_STEPS_PER_METRE)
    normals = planes[6:9].astype(np.float32) - 128
    x, y, z = normals
    return image, planes[3], depth, normals / np.sqrt(x * x + y * y + z * z)


def store_file(seed: int, size: tuple[int, int], first: int, count: int) -> Path:
    """Return the file that keeps rooms ``first`` to ``first + count - 1``; it changes with the renderer."""
    name = f"{RENDERER_VERSION} {seed} {size[0]} {size[1]} {first} {count}"
    return cache_folder() / "rooms" / f"{sha256(name.encode()).hexdigest()[:20]}.npy"


def stored(
    path: Path, seed: int, size: tuple[int, int], indices: range, report: Callable[[int], None] | None = None
) -> Path:
    """Make sure that a file holds the packed rooms of ``indices``; draw them where it does not.

    The file is written under a temporary name and moved, so that a broken-off or parallel run leaves no half file.

    Args:
        path: The file (`store_file`).
        seed: Names the world of rooms.
        size: Height and width.
        indices: Names the rooms.
        report: Told how many rooms are drawn.

    Returns:
        The file, a NumPy array ``uint8 [len(indices), 9, H, W]``.

    Raises:
        DataError: When the file can't be written.
    """
    shape = (len(indices), PLANES, *size)
    if _holds(path, shape):
        return path
    try:
        with atomic_target(path) as draft:
            _draw(draft, shape, seed, indices, report)
    except FileError as error:
        raise DataError(
            f"the cache of rooms can't be written ({error.__cause__}); "
            "set NIWAKI_CACHE to a folder with space, or cache=False to draw rooms as they are needed"
        ) from error
    return path


def _holds(path: Path, shape: tuple[int, ...]) -> bool:
    try:
        there = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return False
    return bool(there.shape == shape and there.dtype == np.uint8)


def _draw(draft: Path, shape: tuple[int, ...], seed: int, indices: range, report: Callable[[int], None] | None) -> None:
    rooms = np.lib.format.open_memmap(draft, mode="w+", dtype=np.uint8, shape=shape)
    for done, index in enumerate(indices):
        rooms[done] = pack(render_room(seed, index, (shape[2], shape[3])))
        if report is not None:
            report(done + 1)
    rooms.flush()
