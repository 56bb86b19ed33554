"""How a search goes about it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Effort"]


@dataclass(frozen=True)
class Effort:
    """How a search goes about it.

    Attributes:
        algorithm: Name in the registry of algorithms.
        population: Candidates that live at a time.
        generations: Generations, the first included.
        rankings: Names of the rankings it begins with; none begins with coin tosses.
        aims: Wished-for values of the objectives, for R-NSGA-III.
        seed: Of all chance.
        folder: Where values are kept, so that a killed search goes on; None for nowhere.
        workers: Processes that judge; 0 for this one.
    """

    algorithm: str = "nsga3"
    population: int = 92
    generations: int = 100
    rankings: Sequence[str] = ()
    aims: Sequence[Sequence[float]] = ()
    seed: int = 0
    folder: Path | None = None
    workers: int = 0
