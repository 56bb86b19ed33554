"""Writing a file whole or not at all."""

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from niwaki.errors import FileError

__all__ = ["atomic_target", "is_leftover", "write_atomically"]

_SUFFIX = ".niwaki-tmp"


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill at any moment, meets the old content or the new one.

    Args:
        path: The file; its folder is made when missing.
        content: Bytes, or text that is written as UTF-8.

    Raises:
        FileError: When the file can't be written; an older file stays as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(f"{folder}/note.txt", "thin")
        ...     Path(folder, "note.txt").read_text()
        'thin'
    """
    with atomic_target(path) as temporary:
        temporary.write_bytes(content if isinstance(content, bytes) else content.encode())


@contextlib.contextmanager
def atomic_target(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside a target; when the block ends well, what was written there takes the target's place.

    Args:
        path: The target.

    Raises:
        FileError: When the file can't be written.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{_SUFFIX}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, target)  # noqa: PTH105 - the atomic call, by name
        _sync_folder(target.parent)
    except OSError as error:
        raise FileError(
            f"can't write {target}: {error.strerror or error}; choose a path in a folder with room that can be written"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Return whether a file is what a killed write left behind.

    Example:
        >>> is_leftover(Path("model.safetensors"))
        False
    """
    return path.name.endswith(_SUFFIX)


def _sync_folder(folder: Path) -> None:
    # a rename is on disk once its folder is; Windows can't open folders and does without
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
