"""A lock that the system takes back when its holder dies."""

import sys
from pathlib import Path
from typing import IO

from niwaki.errors import FileError

__all__ = ["Lock"]


class Lock:
    """Holds a lock file for as long as this process lives, or until released.

    Args:
        path: The lock file; it stays behind, empty of meaning, when released.

    Raises:
        FileError: When another process holds it, or the file can't be opened or locked.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lock = Lock(Path(folder, ".lock"))
        ...     lock.release()
        ...     lock.held
        False
    """

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] | None = None
        try:
            handle = path.open("ab")
        except OSError as error:
            raise FileError(
                f"can't open {path}: {error.strerror or error}; choose a directory that can be written"
            ) from error
        try:
            taken = _take(handle)
        except OSError as error:
            handle.close()
            raise FileError(
                f"can't lock {path}: {error.strerror or error}; choose a directory on a disk that has file locks"
            ) from error
        if not taken:
            handle.close()
            raise FileError(f"another process is writing to {path.parent}; wait for it, or choose another directory")
        self._file = handle

    @property
    def held(self) -> bool:
        """Whether the lock is held by this object."""
        return self._file is not None

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._file is not None:
            self._file.close()
            self._file = None


if sys.platform == "win32":
    import errno
    import msvcrt

    def _take(handle: IO[bytes]) -> bool:
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in {errno.EACCES, errno.EDEADLK}:
                return False
            raise
        return True

else:
    import fcntl

    def _take(handle: IO[bytes]) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
