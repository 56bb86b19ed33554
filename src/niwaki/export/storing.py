"""Putting an ONNX file on disk: whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from niwaki.errors import ExportError

__all__ = ["settle", "staging", "write_program"]

_PROTOBUF_LIMIT = 2**31 - 2**24  # a protobuf message holds 2 GiB; the graph itself needs some of it


@contextlib.contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Give a path of the same name in a temporary folder beside the target, and remove the folder afterwards.

    Args:
        path: The target.

    Raises:
        ExportError: When the target's folder can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise ExportError(
            f"can't write {path}: {error.strerror}; give a path in a folder that can be written"
        ) from error
    try:
        yield folder / path.name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_program(program: Any, path: Path) -> None:
    """Write an ONNX program into one file; weights go into ``NAME.data`` beside it only beyond 2 GiB.

    Args:
        program: The `torch.onnx.ONNXProgram`.
        path: Where to write.
    """
    weights = sum(int(each.const_value.nbytes) for each in program.model.graph.initializers.values())
    program.save(path, external_data=weights > _PROTOBUF_LIMIT)


def settle(staged: Path, path: Path) -> int:
    """Move a staged file, and its weights where they lie apart, into place.

    Args:
        staged: The file in its staging folder.
        path: The target; it is replaced at once, never half written.

    Returns:
        Bytes of all files.
    """
    files = sorted(staged.parent.iterdir(), key=lambda each: each == staged)  # the graph last: it names the weights
    for each in files:
        with each.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(each, path.parent / each.name)  # noqa: PTH105 - the atomic call, by name
    return sum((path.parent / each.name).stat().st_size for each in files)
