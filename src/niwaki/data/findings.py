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
        size: Height and width of the inputs, or None where they differ.
        labelled: The share of pixels that carry a label, by task.
        histograms: The share of labelled pixels by class, by task, for tasks with classes.
        ranges: Smallest and largest labelled number, by task with its unit, for tasks of numbers.
    """

    split: str
    samples: int
    looked_at: int
    size: tuple[int, int] | None
    labelled: Mapping[str, float]
    histograms: Mapping[str, Mapping[str, float]]
    ranges: Mapping[str, tuple[float, float]]


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
        tasks = [f"{task} labelled" for task in self._names("labelled")]
        counted = [f"{name}{what}" for name in self._counted().values() for what in ("classes", "most seen")]
        return ("split", "samples", "size", *tasks, *self._names("ranges"), *counted)

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """Cells of the table of what was found, as text."""
        return tuple(self._row(each) for each in self.splits)

    def raise_if_wrong(self) -> None:
        """Raise when there are problems.

        Raises:
            DataError: With every problem on a line.
        """
        if self.problems:
            raise DataError("\n".join(str(problem) for problem in self.problems))

    def _names(self, what: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for each in self.splits for name in getattr(each, what)))

    def _counted(self) -> dict[str, str]:
        """Tasks with classes, and how their columns begin: one such task needs no name."""
        names = self._names("histograms")
        return {name: f"{name}: " if len(names) > 1 else "" for name in names}

    def _row(self, each: SplitFindings) -> tuple[str, ...]:
        looked = "" if each.looked_at == each.samples else f" ({each.looked_at} read)"
        return (
            each.split,
            f"{each.samples}{looked}",
            "differs" if each.size is None else f"{each.size[0]}x{each.size[1]}",
            *(f"{each.labelled.get(task, 0.0):.1%}" for task in self._names("labelled")),
            *(_range(each.ranges.get(name)) for name in self._names("ranges")),
            *(cell for name in self._counted() for cell in _classes(each.histograms.get(name, {}))),
        )


def _range(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return "-"
    digits = 2 if max(abs(end) for end in ends) >= 1 else 4
    return f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def _classes(histogram: Mapping[str, float]) -> tuple[str, str]:
    seen = {name: share for name, share in histogram.items() if share > 0}
    most = sorted(seen, key=lambda name: -seen[name])[:3]
    return f"{len(seen)} of {len(histogram)}", ", ".join(f"{name} {seen[name]:.0%}" for name in most)


def first_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the first few problems; the rest is not looked for."""
    found: list[Problem] = []
    for problem in problems:
        found.append(problem)
        if len(found) == MOST_PROBLEMS:
            break
    return tuple(found)
