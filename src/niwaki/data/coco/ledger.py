"""What is wrong with annotations, and what is merely odd, gathered while they are read."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from niwaki.data.findings import Problem

__all__ = ["Ledger"]


class Ledger:
    """Takes down faults and oddities by their sort.

    A fault makes one thing unusable: a picture, or an annotation. It stops everything, unless faulty things are to be
    left out. An oddity is what real annotations hold, such as a crowd: it is dealt with, and counted.

    Examples:
        >>> ledger = Ledger()
        >>> ledger.odd("crowds")
        >>> ledger.wrong("annotations of no known category", "a.json", "annotation 3 of category 7", "1 to 5")
        >>> ledger.notes()
        ('crowds: 1', 'left out: annotations of no known category: 1, such as a.json (annotation 3 of category 7)')
    """

    def __init__(self) -> None:
        self._odd: Counter[str] = Counter()
        self._wrong: dict[str, list[Problem]] = {}

    def odd(self, sort: str, number: int = 1) -> None:
        """Count an oddity."""
        if number:
            self._odd[sort] += number

    def wrong(self, sort: str, file: Path | str, found: str, expected: str) -> None:
        """Take down a fault."""
        self._wrong.setdefault(sort, []).append(Problem(str(file), found, expected))

    def problems(self) -> Iterator[Problem]:
        """Yield the faults, of each sort the first one first."""
        longest = max(map(len, self._wrong.values()), default=0)
        for place in range(longest):
            yield from (each[place] for each in self._wrong.values() if place < len(each))

    def notes(self) -> tuple[str, ...]:
        """Return a line for each sort: what was odd, and what is left out where faults are."""
        odd = (f"{sort}: {number:,}" for sort, number in self._odd.items())
        left = (
            f"left out: {sort}: {len(each):,}, such as {each[0].file} ({each[0].found})"
            for sort, each in self._wrong.items()
        )
        return (*odd, *left)
