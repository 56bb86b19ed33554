"""Progress drawn by rich: a bar with the time that is left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

__all__ = ["Bars"]


class Bars:
    """Draws one bar for the current piece of work, with the latest figures and an estimate of the time left.

    Nested work (a validation inside a training) gets a bar of its own, which goes away at its end.
    Where the console is no terminal nothing moves: only notes are written.

    Args:
        console: Where to draw; a new console on standard error when None.

    Examples:
        >>> import io
        >>> with Bars(Console(file=io.StringIO())) as bars:
        ...     bars.begin("training", 2)
        ...     bars.advance(loss=0.5)
        ...     bars.end()
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self._rich = RichProgress(
            TextColumn("[bold]{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[values]}"),
            console=self.console,
            refresh_per_second=4,
            disable=not self.console.is_terminal,
        )
        self._open: list[TaskID] = []
        self._ended: TaskID | None = None

    def __enter__(self) -> Self:
        self._rich.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            self.end()
        self._rich.stop()

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Open a bar.

        Args:
            what: Its name.
            total: Number of parts, or None.
            done: Parts done before.
        """
        if self._ended is not None:
            self._rich.remove_task(self._ended)
            self._ended = None
        self._open.append(self._rich.add_task(what, total=total, completed=done, values=""))

    def advance(self, count: int = 1, **values: float) -> None:
        """Move the innermost bar.

        Args:
            count: Parts done.
            **values: Figures shown beside it.
        """
        if self._open:
            shown = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
            self._rich.update(self._open[-1], advance=count)
            if shown:
                self._rich.update(self._open[-1], values=shown)

    def note(self, text: str) -> None:
        """Write a line above the bars.

        Args:
            text: The line; markup is not read.
        """
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Close the innermost bar: a nested one goes away, the outermost stays as it ended until another begins."""
        if self._open:
            task = self._open.pop()
            if self._open:
                self._rich.remove_task(task)
            else:
                self._rich.stop_task(task)
                self._ended = task
