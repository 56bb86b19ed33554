"""Where the command line writes: results to standard output, progress and errors to standard error."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

__all__ = ["draw", "errors", "screen"]

_WIDTH_ELSEWHERE = 120


def screen() -> Console:
    """Return the console of standard output; a file or pipe gets a fixed width, so that tables don't wrap."""
    console = Console()
    return console if console.is_terminal else Console(width=_WIDTH_ELSEWHERE)


def errors() -> Console:
    """Return the console of standard error."""
    console = Console(stderr=True)
    return console if console.is_terminal else Console(stderr=True, width=_WIDTH_ELSEWHERE)


def draw(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> Table:
    """Lay out a table.

    Args:
        title: Its heading.
        columns: Names of the columns.
        rows: Cells as text.
        left: How many of the first columns hold words; the others hold numbers.

    Returns:
        A table that rich prints.
    """
    table = Table(title=title, title_justify="left", title_style="bold", header_style="dim")
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*(cell.replace("[", r"\[") for cell in row))
    return table
