"""What is around searches for as long as a block lasts: where they keep what they judged, who watches, how long."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

__all__ = ["Surroundings", "Watch", "brief_searches", "kept_searches", "surroundings"]


class Watch(Protocol):
    """Watches searches; `niwaki.train.Progress` can."""

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Begin a search of so many generations."""

    def advance(self, count: int = 1, **values: float) -> None:
        """Report generations, with figures: candidates seen so far, and the hypervolume as last taken."""

    def note(self, text: str) -> None:
        """Show a line that stays: what a search found."""

    def end(self) -> None:
        """End a search."""


@dataclass(frozen=True)
class Surroundings:
    """What searches find around them.

    Attributes:
        folder: Where they keep what they judged; None for nowhere.
        watch: Who watches; None for nobody.
        brief: Whether one generation is enough, and nothing is kept.
    """

    folder: Path | None = None
    watch: Watch | None = None
    brief: bool = False


_around: ContextVar[Surroundings] = ContextVar("surroundings", default=Surroundings())  # noqa: B039 - it is frozen


@contextmanager
def kept_searches(folder: Path, watch: Watch | None = None) -> Iterator[None]:
    """Let every search inside the block keep its candidates in a folder, where its settings name none.

    A run that is killed in the middle of a search then goes on with it, though the method's settings don't know in
    which directory they are at work.

    Args:
        folder: The folder; it is made when something is kept.
        watch: Who watches the searches.

    Examples:
        >>> with kept_searches(Path("runs/share/search")):
        ...     surroundings().folder == Path("runs/share/search")
        True
        >>> surroundings().folder is None
        True
    """
    with _inside(replace(surroundings(), folder=folder, watch=watch)):
        yield


@contextmanager
def brief_searches() -> Iterator[None]:
    """Let every search inside the block end after its first generation, and keep nothing.

    A rehearsal wants no good filters. What it finds tells the model's size but roughly where a search decides that
    (`niwaki.methods.Method.searches_size`): with adaptive rates, and with a limit.

    Examples:
        >>> with brief_searches():
        ...     surroundings().brief
        True
    """
    with _inside(replace(surroundings(), brief=True)):
        yield


def surroundings() -> Surroundings:
    """Return what the blocks around say."""
    return _around.get()


@contextmanager
def _inside(around: Surroundings) -> Iterator[None]:
    token = _around.set(around)
    try:
        yield
    finally:
        _around.reset(token)
