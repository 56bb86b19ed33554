"""What a look at a data set brought up: a table of what is there, or the first things wrong."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from niwaki.errors import DataError

__all__ = ["Findings", "Problem", "SplitFindings", "first_problems"]

MOST_PROBLEMS = 5


class Problem(NamedTuple):
    """One thing wrong with data.

    Attributes:
        file: The file or folder.
        found: What is there.
        expected: What the layout says.
    """

    file: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.file}: found {self.found}; expected {self.expected}"


@dataclass(frozen=True)
class SplitFindings:
    """What one split holds.

    Attributes:
        split: Its name.
        samples: How many samples it has.
        looked_at: How many of them were read.
        size: Height and width of the inputs, or the one size of vectors; None where they differ.
        labelled: The share of pixels that carry a label, by task.
        histograms: The share of labelled pixels by class, by task, for tasks with classes.
        ranges: Smallest and largest labelled number, by task, for tasks of numbers.
        units: Unit of the numbers, by task.
    """

    split: str
    samples: int
    looked_at: int
    size: tuple[int, ...] | None
    labelled: Mapping[str, float]
    histograms: Mapping[str, Mapping[str, float]]
    ranges: Mapping[str, tuple[float, float]]
    units: Mapping[str, str]


@dataclass(frozen=True)
class Findings:
    """What a data set holds, or what is wrong with it.

    Attributes:
        splits: One entry a split; empty when there are problems.
        problems: The first things wrong.
        notes: What else a user should know.
    """

    splits: tuple[SplitFindings, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """Headings of the table of what was found."""
        return ("split", "size", "task", "what it holds", "labelled", "samples")

    @property
    def words(self) -> int:
        """How many of the first columns hold words; the others hold numbers."""
        return self.columns.index("labelled")

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Cells of the table of what was found, as text: a row for each task of a split, which names itself once."""
        return tuple(row for each in self.splits for row in _rows(each))

    def raise_if_wrong(self) -> None:
        """Raise when there are problems.

        Raises:
            DataError: With every problem on a line.
        """
        if self.problems:
            raise DataError("\n".join(str(problem) for problem in self.problems))


def _rows(split: SplitFindings) -> list[tuple[str, ...]]:
    looked = "" if split.looked_at == split.samples else f" ({split.looked_at} read)"
    size = "differs" if split.size is None else "x".join(map(str, split.size))
    rows: list[tuple[str, ...]] = []
    for task, share in split.labelled.items():
        name, extent, number = ("", "", "") if rows else (split.split, size, f"{split.samples}{looked}")
        rows.append((name, extent, task, _holds(split, task), f"{share:.1%}", number))
    return rows


def _holds(split: SplitFindings, task: str) -> str:
    if task in split.histograms:
        return _classes(split.histograms[task])
    return _range(split.ranges[task], split.units.get(task, "")) if task in split.ranges else ""


def _range(ends: tuple[float, float], unit: str) -> str:
    digits = 2 if max(abs(end) for end in ends) >= 1 else 4
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f} {unit}".rstrip()


def _classes(histogram: Mapping[str, float]) -> str:
    seen = {name: share for name, share in histogram.items() if share > 0}
    most = sorted(seen, key=lambda name: -seen[name])[:3]
    named = ", ".join(f"{name} {seen[name]:.0%}" for name in most)
    return f"{len(seen)} of {len(histogram)} classes" + (f": {named}" if named else "")


def first_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the first few problems; the rest is not looked for."""
    found: list[Problem] = []
    for problem in problems:
        found.append(problem)
        if len(found) == MOST_PROBLEMS:
            break
    return tuple(found)
