"""pymoo's many-objective algorithms by name, each with the operators of a search for filters."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from math import comb
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from niwaki.errors import ContractError, MissingExtraError
from niwaki.registry import Registry

__all__ = ["Maker", "Shape", "algorithms", "directions"]

_PARTITIONS = {2: 91, 3: 12}
"""Das and Dennis's divisions: 92 directions for two objectives, 91 for three."""

_SPREAD = 92
"""Directions for more objectives than that, spread by energy (Blank et al. 2021)."""

_FIVE = Path(__file__).with_name("directions5.json")
"""Those for five objectives, which take pymoo seconds to find."""


def directions(objectives: int) -> NDArray[np.float64]:
    """Return directions spread over the trade-offs between some objectives.

    Args:
        objectives: How many, at least 1.

    Returns:
        ``[directions, objectives]``, rows of sum 1: of three objectives the 91 of Das and Dennis's 12 divisions.

    Examples:
        >>> directions(3).shape, directions(5).shape
        ((91, 3), (92, 5))
    """
    return _directions(objectives).copy()


@lru_cache
def _directions(objectives: int) -> NDArray[np.float64]:
    from pymoo.util.ref_dirs import get_reference_directions  # noqa: PLC0415 - settings name algorithms without it

    if objectives == 1:
        return np.ones((1, 1))
    if objectives in _PARTITIONS:
        return np.asarray(get_reference_directions("das-dennis", objectives, n_partitions=_PARTITIONS[objectives]))
    if objectives == 5:
        return np.array(json.loads(_FIVE.read_text(encoding="utf-8")))
    return np.asarray(get_reference_directions("energy", objectives, _SPREAD, seed=1))


@dataclass(frozen=True)
class Shape:
    """What an algorithm is made for.

    Attributes:
        objectives: How many objectives there are.
        population: How many candidates live at a time.
        aims: Wished-for values ``[aims, objectives]``, for R-NSGA-III.
    """

    objectives: int
    population: int
    aims: Sequence[Sequence[float]] = ()

    @property
    def directions(self) -> NDArray[np.float64]:
        """See `directions`."""
        return directions(self.objectives)

    @property
    def room(self) -> int:
        """The population of an algorithm that needs a candidate for each direction at least."""
        return max(self.population, len(self.directions))


Maker: TypeAlias = Callable[..., Any]
"""Makes an algorithm of a `Shape` and pymoo's keywords for operators, seed and end."""

algorithms: Registry[Maker] = Registry("search algorithm")


def _pymoo(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"pymoo.algorithms.moo.{module}"), name)
    except Exception as error:
        if "numba" not in str(error):
            raise
        raise MissingExtraError("search", f"the search algorithm {name}") from None


@algorithms.register("nsga3")
def _nsga3(shape: Shape, **operators: Any) -> Any:
    return _pymoo("nsga3", "NSGA3")(shape.directions, pop_size=shape.room, **operators)


@algorithms.register("unsga3")
def _unsga3(shape: Shape, **operators: Any) -> Any:
    return _pymoo("unsga3", "UNSGA3")(shape.directions, pop_size=shape.room, **operators)


@algorithms.register("rnsga3")
def _rnsga3(shape: Shape, **operators: Any) -> Any:
    if any(len(aim) != shape.objectives for aim in shape.aims):
        raise ContractError(
            f"an aim has one value for each of the search's {shape.objectives} objectives, got aims of "
            f"{', '.join(str(len(aim)) for aim in shape.aims)}; give the missing values, or leave some out"
        )
    aims = np.array(shape.aims or [[0.0] * shape.objectives])
    each = _uniform(shape.objectives, shape.population // len(aims))
    return _pymoo("rnsga3", "RNSGA3")(aims, pop_per_ref_point=each, **operators)


@algorithms.register("age_moea")
def _age(shape: Shape, **operators: Any) -> Any:
    return _pymoo("age", "AGEMOEA")(pop_size=shape.population, **operators)


@algorithms.register("age_moea2")
def _age2(shape: Shape, **operators: Any) -> Any:
    return _pymoo("age2", "AGEMOEA2")(pop_size=shape.population, **operators)


@algorithms.register("sms_emoa")
def _sms(shape: Shape, **operators: Any) -> Any:
    return _pymoo("sms", "SMSEMOA")(pop_size=shape.population, **operators)


@algorithms.register("ctaea")
def _ctaea(shape: Shape, **operators: Any) -> Any:
    return _pymoo("ctaea", "CTAEA")(shape.directions, **operators)


@algorithms.register("moead")
def _moead(shape: Shape, **operators: Any) -> Any:
    del operators["eliminate_duplicates"]  # it needs a candidate for each direction, the same or not
    neighbours = min(20, len(shape.directions))
    return _pymoo("moead", "ParallelMOEAD")(shape.directions, n_neighbors=neighbours, **operators)


@algorithms.register("rvea")
def _rvea(shape: Shape, **operators: Any) -> Any:
    return _pymoo("rvea", "RVEA")(shape.directions, pop_size=shape.room, **operators)


@algorithms.register("spea2")
def _spea2(shape: Shape, **operators: Any) -> Any:
    survival = _pymoo("spea2", "SPEA2Survival")(normalize=True)  # pymoo's own default remembers the search before
    return _pymoo("spea2", "SPEA2")(pop_size=shape.population, survival=survival, **operators)


@algorithms.register("nsga2")
def _nsga2(shape: Shape, **operators: Any) -> Any:
    return _pymoo("nsga2", "NSGA2")(pop_size=shape.population, **operators)


def _uniform(objectives: int, most: int) -> int:
    """Return the largest number of directions up to one that Das and Dennis's divisions can give."""
    partitions = 1
    while comb(partitions + objectives, objectives - 1) <= most:
        partitions += 1
    return comb(partitions + objectives - 1, objectives - 1)
