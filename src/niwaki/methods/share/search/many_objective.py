"""Choosing filters by many-objective search: the selector of the paper's idea."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat, field_validator

from niwaki.methods.share.search.algorithms import algorithms
from niwaki.methods.share.search.asking import layers_of
from niwaki.methods.share.search.choice import Calibrated, Choice, Judge, choices
from niwaki.methods.share.search.effort import Effort
from niwaki.methods.share.search.keeping import Surroundings, surroundings
from niwaki.methods.share.search.objectives import objectives
from niwaki.methods.share.search.problem import Problem, default_objectives
from niwaki.methods.share.search.rankings import rankings
from niwaki.methods.share.search.thinning import thinned
from niwaki.methods.share.selecting import Found, Question, Selection, Selector, selectors
from niwaki.records.front import Front, packed
from niwaki.settings import family

__all__ = ["ManyObjective"]


@selectors.register("many_objective")
class ManyObjective(Selector):
    """Filters that no other choice beats in importance, redundancy and reconstruction at once.

    The idea of *Multi-task Pruning via Filter Index Sharing* (Cheng et al., Cognitive Computation 13, 2021): which
    filters stay is a problem with several objectives, and an evolutionary algorithm finds the trade-offs. Where rates
    are adaptive, the share that stays and the worst task's reconstruction are objectives too. A search over all layers
    takes the mean of the layers, weighted by their parameters. It begins with what heuristics choose, and keeps the
    front of everything it judged.

    Attributes:
        objectives: Names in the registry `objectives`; None for the three, or with adaptive rates the five.
        algorithm: Name in the registry `algorithms`: ``nsga3``, ``unsga3``, ``rnsga3``, ``age_moea``, ``age_moea2``,
            ``sms_emoa``, ``ctaea``, ``moead``, ``rvea``, ``spea2``, ``nsga2``.
        population: Candidates that live at a time, at least 4; not fewer than the directions of algorithms that use
            them.
        generations: Generations, the first included.
        seeds: Names in the registry `rankings` that the search begins with and leans to; none begins blindly.
        aims: Wished-for values of the objectives, one for each, for ``rnsga3``.
        choice: Which point of the front is taken.
        points: Points of the front that the record keeps at most.
        folder: Where judged candidates are kept, so that a killed search goes on from there; None for nowhere, but for
            what `kept_searches` says.
        workers: Processes that judge candidates; 0 judges in this one, which is fast enough for the ready objectives.

    Raises:
        SettingError: When a value is not allowed.

    Examples:
        >>> ManyObjective(choice="knee", generations=20).choice
        Knee(kind='knee')
    """

    kind: Literal["many_objective"] = "many_objective"
    objectives: tuple[str, ...] | None = Field(default=None, min_length=1)
    algorithm: str = Effort.algorithm
    population: int = Field(default=Effort.population, ge=4)
    generations: int = Field(default=Effort.generations, ge=1)
    seeds: tuple[str, ...] = ("importance", "fpgm", "farthest", "greedy", "distinct")
    aims: tuple[tuple[FiniteFloat, ...], ...] = ()
    choice: Annotated[Choice, *family(choices)] = Calibrated()
    points: int = Field(default=200, ge=1)
    folder: Path | None = None
    workers: int = Field(default=Effort.workers, ge=0)

    @field_validator("objectives")
    @classmethod
    def _known_objectives(cls, names: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for name in names or ():
            objectives.get(name)
        return names

    @field_validator("seeds")
    @classmethod
    def _known_seeds(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            rankings.get(name)
        return names

    @field_validator("algorithm")
    @classmethod
    def _known_algorithm(cls, name: str) -> str:
        algorithms.get(name)
        return name

    def select(self, question: Question) -> Found:
        """Search, and take one point of the front.

        Args:
            question: The layers, and how many filters may stay.

        Returns:
            The filters that stay, and the front.

        Raises:
            ContractError: When an aim has no value for each objective.
            MissingExtraError: When the algorithm needs a package that is not installed.
            FileError: When the folder can't be used.
        """
        from niwaki.methods.share.search.searching import search  # noqa: PLC0415 - pymoo is slow to import

        problem, around = self._problem(question), surroundings()
        found = search(problem, self._effort(question.seed, around), around.watch)
        kept = [_plain(problem, row) for row in found.rows]
        chosen, how = self.choice.pick(problem.names, found.values, _judge(question, kept))
        shown = thinned(found.values, self.points, first=chosen)
        sizes = tuple(len(layer) for layer in problem.layers)
        front = Front(
            objectives=problem.names,
            values=tuple(tuple(found.values[point].tolist()) for point in shown),
            bits=tuple(packed(kept[point], sizes) for point in shown),
            layers=tuple(layer.name for layer in problem.layers),
            sizes=sizes,
            chosen=shown.index(chosen),
            picked_by=how,
            algorithm=self.algorithm,
            found=len(found.rows),
            judged=found.curve[-1][0],
            curve=found.curve,
        )
        return Found(Selection(kept[chosen]), front)

    def _effort(self, seed: int, around: Surroundings) -> Effort:
        return Effort(
            algorithm=self.algorithm,
            population=self.population,
            generations=1 if around.brief else self.generations,
            rankings=self.seeds,
            aims=self.aims,
            seed=seed,
            folder=None if around.brief else self.folder or around.folder,
            workers=self.workers,
        )

    def _problem(self, question: Question) -> Problem:
        layers = layers_of(question)
        return Problem(layers, self.objectives or default_objectives(layers))


def _plain(problem: Problem, row: NDArray[np.bool_]) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(rows.tolist()) for rows in problem.kept(row))


def _judge(question: Question, kept: Sequence[tuple[tuple[int, ...], ...]]) -> Judge | None:
    ask = question.judge
    return None if ask is None else lambda point: ask(Selection(kept[point]))
