"""Where searches keep what they judged, for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

__all__ = ["kept_searches", "search_folder"]

_folder: ContextVar[Path | None] = ContextVar("search_folder", default=None)


@contextmanager
def kept_searches(folder: Path) -> Iterator[None]:
    """Let every search inside the block keep its candidates in a folder, where its settings name none.

    A run that is killed in the middle of a search then goes on with it, though the method's settings don't know in
    which directory they are at work.

    Args:
        folder: The folder; it is made when something is kept.

    Examples:
        >>> with kept_searches(Path("runs/share/search")):
        ...     search_folder() == Path("runs/share/search")
        True
        >>> search_folder() is None
        True
    """
    token = _folder.set(folder)
    try:
        yield
    finally:
        _folder.reset(token)


def search_folder() -> Path | None:
    """Return the folder of the innermost `kept_searches`; None outside."""
    return _folder.get()
