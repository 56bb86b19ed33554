"""The search itself: ask pymoo for candidates, judge each once, tell it, and remember everything that nothing beats."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pymoo.core.evaluator import Evaluator
from pymoo.core.population import Population

from niwaki.methods.share.search.algorithms import Shape, algorithms
from niwaki.methods.share.search.archive import Archive, hypervolume
from niwaki.methods.share.search.effort import Effort
from niwaki.methods.share.search.evaluations import Evaluations
from niwaki.methods.share.search.keeping import Watch
from niwaki.methods.share.search.layer import Masks
from niwaki.methods.share.search.operators import Asked, Different, LayerCrossover, SwapMutation, ToBounds
from niwaki.methods.share.search.problem import Problem, Values
from niwaki.methods.share.search.rankings import ranks
from niwaki.methods.share.search.seeds import seed_rows, unseeded_rows

__all__ = ["Found", "random_search", "search"]

_TRIES = 20
"""How often a generation is filled up where children repeat others."""

_QUICK, _SELDOM = 3, 10
"""Objectives up to which the hypervolume is taken each generation; it takes seconds with more, then every so often."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Attributes:
        rows: ``[F, genes]``: the front of everything that was judged.
        values: ``[F, M]``: its objectives.
        curve: Candidates seen so far and the hypervolume of the front, generation by generation; with more than three
            objectives not after each.
        judged: Candidates that were judged, and not remembered from before.
        seconds: Wall time.
    """

    rows: Masks
    values: Values
    curve: tuple[tuple[int, float], ...]
    judged: int
    seconds: float


def search(problem: Problem, effort: Effort, watch: Watch | None = None) -> Found:
    """Search for the trade-offs between a problem's objectives.

    Equal problems and efforts give equal fronts, whether a search was stopped and begun again in its folder or not, and
    whatever the number of workers.

    Args:
        problem: The problem.
        effort: How.
        watch: Who watches.

    Returns:
        The front of everything that was judged.

    Raises:
        SettingError: When the algorithm or a ranking is not known.
        FileError: When the folder can't be used.
    """
    algorithm = _set_up(problem, effort)
    with _opened(problem, effort, watch) as log:
        algorithm.setup(Asked(problem, log.see))
        for _ in range(effort.generations):
            asked = algorithm.ask()
            if asked is None or not len(asked):
                break  # every candidate there is was seen
            Evaluator().eval(algorithm.problem, asked)
            algorithm.tell(infills=asked)
        return log.close()


def random_search(problem: Problem, effort: Effort, watch: Watch | None = None) -> Found:
    """Judge as many random candidates as a search would: what a search has to beat.

    Args:
        problem: The problem.
        effort: Population, generations, seed and folder count.
        watch: Who watches.

    Returns:
        The front of everything that was judged.
    """
    chance = np.random.default_rng(effort.seed)
    with _opened(problem, effort, watch) as log:
        for _ in range(effort.generations):
            log.see(seed_rows(problem, (), effort.population, chance))
        return log.close()


def _set_up(problem: Problem, effort: Effort) -> Any:
    ranked = [ranks(layer, effort.rankings) for layer in problem.layers] if effort.rankings else []
    algorithm = algorithms.get(effort.algorithm)(
        Shape(len(problem.names), effort.population, effort.aims),
        crossover=LayerCrossover(problem),
        mutation=SwapMutation(problem, ranked),
        repair=ToBounds(problem),
        eliminate_duplicates=Different(),
        seed=effort.seed,
        termination=("n_gen", effort.generations),
    )
    chance, count = np.random.default_rng(effort.seed), algorithm.pop_size
    rows = seed_rows(problem, ranked, count, chance) if ranked else unseeded_rows(problem, count, chance)
    algorithm.initialization.sampling = Population.new(X=rows)
    algorithm.mating.n_max_iterations = _TRIES
    return algorithm


@contextmanager
def _opened(problem: Problem, effort: Effort, watch: Watch | None) -> "Iterator[_Log]":
    """Begin to judge, with somebody watching."""
    with Evaluations(problem, effort.folder, effort.workers) as values:
        if watch is None:
            yield _Log(problem, values, None)
            return
        watch.begin("search", effort.generations)
        try:
            yield _Log(problem, values, watch)
        finally:
            watch.end()


@dataclass
class _Log:
    """Judges what is asked, and keeps the front and the curve."""

    problem: Problem
    values: Evaluations
    watch: Watch | None
    seen: int = 0
    generation: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.archive = Archive(len(self.problem), len(self.problem.names))

    def see(self, rows: Masks) -> Values:
        found = self.values.of(rows)
        self.archive.add(rows, found)
        self.seen += len(rows)
        self.generation += 1
        if found.shape[1] <= _QUICK or self.generation % _SELDOM in {0, 1}:
            self.curve.append((self.seen, hypervolume(self.archive.values)))
        if self.watch is not None:
            self.watch.advance(candidates=self.seen, hypervolume=self.curve[-1][1])
        return found

    def close(self) -> Found:
        if self.curve[-1][0] < self.seen:
            self.curve.append((self.seen, hypervolume(self.archive.values)))
        seconds = time.perf_counter() - self.began
        if self.watch is not None:
            told = f"{len(self.archive)} choices that none of {self.seen:,} beats, hypervolume {self.curve[-1][1]:.3f}"
            self.watch.note(f"search: {told}")
        order = np.lexsort(self.archive.values.T[::-1])
        return Found(
            self.archive.rows()[order], self.archive.values[order], tuple(self.curve), self.values.count, seconds
        )
