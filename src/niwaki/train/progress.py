"""Progress: what the loop tells whoever watches."""

from typing import Protocol

__all__ = ["Progress", "Silent"]


class Progress(Protocol):
    """Watches a long piece of work; the command line passes one that draws bars, libraries keep `Silent`."""

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Begin a piece of work.

        Args:
            what: Its name, for people.
            total: Number of parts, or None when it is not known.
            done: Parts that were done before, by a run that is resumed.
        """

    def advance(self, count: int = 1, **values: float) -> None:
        """Report that parts of the current work are done.

        Args:
            count: How many.
            **values: Figures to show beside, such as ``loss``.
        """

    def note(self, text: str) -> None:
        """Show one line that stays, such as a validation result.

        Args:
            text: The line.
        """

    def end(self) -> None:
        """End the current piece of work."""


class Silent:
    """Progress that nobody watches."""

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Do nothing."""

    def advance(self, count: int = 1, **values: float) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""
