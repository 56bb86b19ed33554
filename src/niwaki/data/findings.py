"""What a look at a data set brought up: a table of what is there, or the first things wrong."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from niwaki.errors import DataError

__all__ = ["Findings", "Problem", "SplitFindings", "Tally"]

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
        histogram: The share of labelled pixels by class.
        depth: Smallest and largest valid depth, metres; None without any.
    """

    split: str
    samples: int
    looked_at: int
    size: tuple[int, int] | None
    labelled: Mapping[str, float]
    histogram: Mapping[str, float]
    depth: tuple[float, float] | None


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
        tasks = [f"{task} labelled" for task in self._tasks()]
        return ("split", "samples", "size", *tasks, "depth (m)", "classes", "most seen")

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

    def _tasks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(task for each in self.splits for task in each.labelled))

    def _row(self, each: SplitFindings) -> tuple[str, ...]:
        looked = "" if each.looked_at == each.samples else f" ({each.looked_at} read)"
        labelled = [f"{each.labelled.get(task, 0.0):.1%}" for task in self._tasks()]
        seen = {name: share for name, share in each.histogram.items() if share > 0}
        most = sorted(seen, key=lambda name: -seen[name])[:3]
        return (
            each.split,
            f"{each.samples}{looked}",
            "differs" if each.size is None else f"{each.size[0]}x{each.size[1]}",
            *labelled,
            "-" if each.depth is None else f"{each.depth[0]:.2f} to {each.depth[1]:.2f}",
            f"{len(seen)} of {len(each.histogram)}",
            ", ".join(f"{name} {seen[name]:.0%}" for name in most),
        )


@dataclass
class Tally:
    """Counts what one split holds, sample by sample.

    Args:
        classes: Names of the classes, in order of their numbers.
    """

    classes: Sequence[str]
    _sizes: set[tuple[int, int]] = field(default_factory=set)
    _pixels: int = 0
    _looked_at: int = 0
    _labelled: dict[str, int] = field(default_factory=dict)
    _counts: npt.NDArray[np.int64] | None = None
    _depth: tuple[float, float] | None = None

    def add(
        self, label: npt.NDArray[np.integer], depth: npt.NDArray[np.floating], normals: npt.NDArray[np.floating]
    ) -> None:
        """Count one sample.

        Args:
            label: Classes, negative where unlabelled, ``[H, W]``.
            depth: Metres, 0 where unlabelled, ``[H, W]``.
            normals: Unit vectors, 0 where unlabelled, ``[H, W, 3]``.
        """
        self._looked_at += 1
        self._pixels += label.size
        self._sizes.add((label.shape[0], label.shape[1]))
        known = label[label >= 0]
        valid = depth[depth > 0]
        count = {"segmentation": known.size, "depth": valid.size, "normals": int(np.any(normals != 0, axis=-1).sum())}
        for task, number in count.items():
            self._labelled[task] = self._labelled.get(task, 0) + number
        found = np.bincount(known.astype(np.int64), minlength=len(self.classes))
        self._counts = found if self._counts is None else self._counts + found
        if valid.size:
            ends = (float(valid.min()), float(valid.max()))
            self._depth = ends if self._depth is None else (min(self._depth[0], ends[0]), max(self._depth[1], ends[1]))

    def findings(self, split: str, samples: int) -> SplitFindings:
        """Return what was counted.

        Args:
            split: The split's name.
            samples: How many samples it has in all.

        Returns:
            The findings of the split.
        """
        counts = np.zeros(len(self.classes), np.int64) if self._counts is None else self._counts
        total = max(int(counts.sum()), 1)
        return SplitFindings(
            split=split,
            samples=samples,
            looked_at=self._looked_at,
            size=next(iter(self._sizes)) if len(self._sizes) == 1 else None,
            labelled={task: number / max(self._pixels, 1) for task, number in self._labelled.items()},
            histogram={name: int(number) / total for name, number in zip(self.classes, counts, strict=True)},
            depth=self._depth,
        )


def first_problems(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Return the first few problems; the rest is not looked for."""
    found: list[Problem] = []
    for problem in problems:
        found.append(problem)
        if len(found) == MOST_PROBLEMS:
            break
    return tuple(found)
