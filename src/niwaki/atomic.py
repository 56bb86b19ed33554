"""Writing files whole or not at all, and where those lie that can be made again."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from niwaki.errors import FileError

__all__ = [
    "atomic_folder",
    "atomic_target",
    "cache_folder",
    "remove_leftovers",
    "told_as_file_error",
    "write_atomically",
]

_SUFFIX = ".niwaki-tmp"


def write_atomically(path: str | Path, content: bytes | str) -> None:
    """Write a file so that a reader, or a kill at any moment, meets the old content or the new one.

    Args:
        path: The file; its folder is made when missing.
        content: Bytes, or text that is written as UTF-8.

    Raises:
        FileError: When the file can't be written; an older file stays as it was.

    Examples:
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
    temporary = _beside(target)
    try:
        with told_as_file_error(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _settle(temporary, target)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give a path of the target's name in a folder of its own, for a file that may bring others along.

    When the block ends well, everything written into the folder moves beside the target, the target last. Errors of
    the block itself pass as they are: it may do more than write.

    Args:
        path: The target.

    Raises:
        FileError: When the target's folder can't be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_folder(f"{folder}/a.onnx") as staged:
        ...         _ = staged.write_text("graph"), staged.with_name("a.onnx.data").write_text("weights")
        ...     sorted(each.name for each in Path(folder).iterdir())
        ['a.onnx', 'a.onnx.data']
    """
    target = Path(path)
    folder = _beside(target)
    with told_as_file_error(target):
        folder.mkdir(parents=True)
    staged = folder / target.name
    try:
        yield staged
        with told_as_file_error(target):
            for each in sorted(folder.iterdir(), key=lambda each: each == staged):
                _settle(each, target.parent / each.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def told_as_file_error(target: Path) -> Iterator[None]:
    """Turn the system's errors while a file is written into one message.

    Args:
        target: The file, for the message.

    Raises:
        FileError: In place of any `OSError`.
    """
    try:
        yield
    except OSError as error:
        raise FileError(
            f"can't write {target}: {error.strerror or error}; choose a path in a folder with room that can be written"
        ) from error


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writes left in a folder and below.

    Args:
        folder: A folder that nobody else is writing to.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, ".a.png.1f2e3d4c.niwaki-tmp").write_text("half"), Path(folder, "b.png").write_text("")
        ...     remove_leftovers(Path(folder))
        ...     [each.name for each in Path(folder).iterdir()]
        ['b.png']
    """
    for each in list(folder.rglob(f".*{_SUFFIX}")):
        if each.is_dir():
            shutil.rmtree(each, ignore_errors=True)
        else:
            each.unlink(missing_ok=True)


def _beside(target: Path) -> Path:
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{_SUFFIX}")


def _settle(temporary: Path, target: Path) -> None:
    with temporary.open("rb+") as handle:
        os.fsync(handle.fileno())
    os.replace(temporary, target)  # noqa: PTH105 - the atomic call, by name
    # a rename is on disk once its folder is; Windows can't open folders and does without
    with contextlib.suppress(OSError):
        handle_of_folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(handle_of_folder)
        finally:
            os.close(handle_of_folder)


def cache_folder() -> Path:
    """Return the folder for what can be made again: ``$NIWAKI_CACHE``, or ``niwaki`` in the user's cache folder."""
    if own := os.environ.get("NIWAKI_CACHE"):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA"):
        return Path(base) / "niwaki"
    return Path.home() / ".cache" / "niwaki"
