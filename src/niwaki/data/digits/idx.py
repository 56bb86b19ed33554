"""IDX, the format of MNIST's files: a magic number, the sizes, and bytes."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from niwaki.data.findings import Problem

__all__ = ["Wrong", "read_idx"]

_BYTES = 0x08


class Wrong(Exception):  # noqa: N818 - no error of its own: it carries a Problem to where it is told
    """Something that is not as the format says.

    Args:
        file: The file or folder.
        found: What is there.
        expected: What the format says.
    """

    def __init__(self, file: Path, found: str, expected: str) -> None:
        super().__init__(found)
        self.problem = Problem(str(file), found, expected)


def read_idx(path: Path, dimensions: int) -> npt.NDArray[np.uint8]:
    """Read a file of unsigned bytes, unpacked or gzipped.

    Args:
        path: The file; a name that ends in ``.gz`` is unpacked.
        dimensions: How many dimensions it must have.

    Returns:
        The array.

    Raises:
        Wrong: When it can't be read, is cut short, or is something else.
    """
    raw = _contents(path)
    magic = bytes([0, 0, _BYTES, dimensions])
    if raw[:4] != magic:
        found = f"the magic number 0x{raw[:4].hex()}" if len(raw) >= 4 else f"{len(raw)} bytes"
        raise Wrong(path, found, f"IDX of unsigned bytes in {dimensions} dimensions, which begins with 0x{magic.hex()}")
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise Wrong(path, f"{len(raw)} bytes", f"a header of {header} bytes")
    sizes = struct.unpack(f">{dimensions}I", raw[4:header])
    if len(raw) - header != math.prod(sizes):
        shape = " x ".join(f"{size:,}" for size in sizes)
        raise Wrong(path, f"{len(raw) - header:,} bytes of data", f"{shape} bytes, as its header says")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(sizes)


def _contents(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read()
        return path.read_bytes()
    except EOFError as error:
        raise Wrong(path, "a gzip file that is cut short", "a whole gzip file; copy it again") from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Wrong(path, f"a damaged gzip file ({error})", "a gzip file; copy it again") from error
    except OSError as error:
        raise Wrong(path, f"a file that can't be read ({error.strerror})", "a readable file") from error
