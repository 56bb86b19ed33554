"""Which point of a front is taken."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from niwaki.errors import ContractError, did_you_mean
from niwaki.methods.share.search.problem import Values
from niwaki.registry import Registry
from niwaki.settings import Settings

__all__ = ["Calibrated", "Choice", "Judge", "Knee", "Weighted", "choices", "knee", "scalarised"]

Judge = Callable[[int], Mapping[str, float]]
"""Takes a point of the front and returns each task's loss."""


def normalised(values: Values) -> Values:
    """Return a front from its best (0) to its worst (1) in every objective; one that never changes is 0."""
    best, worst = values.min(0), values.max(0)
    scaled: Values = (values - best) / np.where(worst > best, worst - best, 1)
    return scaled


def knee(values: Values) -> int:
    """Return the point nearest to the ideal, which is best in everything, with objectives normalised over the front.

    The distance is Euclidean: two objectives that are each other's opposite, as size and importance nearly are, then
    meet in the middle, where a sum would not tell any point from another.

    Args:
        values: ``[F, M]``, smaller is better.

    Returns:
        Its row.

    Examples:
        >>> knee(np.array([[0.0, 1.0], [0.2, 0.2], [1.0, 0.0]]))
        1
    """
    return int(np.argmin(np.square(normalised(values)).sum(1)))


def scalarised(values: Values, weights: NDArray[np.float64]) -> int:
    """Return the point with the least weighted worst objective: the augmented achievement function (Wierzbicki 1980).

    It reaches points in the hollows of a front too, which no weighted sum does.

    Args:
        values: ``[F, M]``, smaller is better.
        weights: ``[M]``, at least 0: what each objective counts, normalised over the front.

    Returns:
        Its row.

    Examples:
        >>> front = np.array([[0.0, 1.0], [0.6, 0.6], [1.0, 0.0]])
        >>> scalarised(front, np.array([1.0, 1.0])), scalarised(front, np.array([4.0, 1.0]))
        (1, 0)
    """
    scaled = normalised(values) * weights
    return int(np.argmin(scaled.max(1) + 1e-3 * scaled.sum(1)))


class Choice(Settings):
    """The settings of a way to take one point of a front.

    Attributes:
        kind: Its name in the registry `choices`.
    """

    kind: str

    @abstractmethod
    def pick(self, names: tuple[str, ...], values: Values, judge: Judge | None) -> tuple[int, str]:
        """Take a point.

        Args:
            names: Names of the objectives.
            values: ``[F, M]``.
            judge: Returns a point's calibration losses; None where there is no data.

        Returns:
            Its row, and how it was picked in words.
        """


choices: Registry[type[Choice]] = Registry("choice")


@choices.register("knee")
class Knee(Choice):
    """The point nearest to the ideal; see `knee`."""

    kind: Literal["knee"] = "knee"

    def pick(self, names: tuple[str, ...], values: Values, judge: Judge | None) -> tuple[int, str]:  # noqa: ARG002 - the family's signature
        """Take the knee. See `Choice.pick`."""
        return knee(values), "knee"


@choices.register("weights")
class Weighted(Choice):
    """The point whose weighted worst objective is least.

    Attributes:
        weights: Objective to what it counts; those that are not named count nothing.

    Examples:
        >>> Weighted(weights={"reconstruction": 2, "importance": 1}).kind
        'weights'
    """

    kind: Literal["weights"] = "weights"
    weights: dict[str, Annotated[float, Field(ge=0)]] = Field(min_length=1)

    def pick(self, names: tuple[str, ...], values: Values, judge: Judge | None) -> tuple[int, str]:  # noqa: ARG002 - the family's signature
        """Take the point. See `Choice.pick`.

        Raises:
            ContractError: When a weight is for an objective that was not searched.
        """
        for name in self.weights:
            if name not in names:
                raise ContractError(
                    f"a weight is for {name!r}, which is no objective of this search{did_you_mean(name, names)} (they "
                    f"are: {', '.join(names)})"
                )
        weights = np.array([self.weights.get(name, 0.0) for name in names])
        told = ", ".join(f"{name} {weight:g}" for name, weight in self.weights.items())
        return scalarised(values, weights), f"weights: {told}"


@choices.register("calibrated")
class Calibrated(Choice):
    """The best of a few points by what the merged networks lose on calibration batches; without data the knee.

    Those few are the knee, points that lean to one objective each, and the best of each objective; where sizes are
    free, all of them no larger than the knee, for the largest would lose least. The best is the one whose worst task is
    least behind the least loss that any of them has for that task.

    Attributes:
        few: How many points are judged, at least 1.
    """

    kind: Literal["calibrated"] = "calibrated"
    few: int = Field(default=7, ge=1)

    def pick(self, names: tuple[str, ...], values: Values, judge: Judge | None) -> tuple[int, str]:
        """Take the best of a few. See `Choice.pick`."""
        if judge is None:
            return knee(values), "knee, for there is no data to judge by"
        few = self._candidates(names, values)
        losses = [judge(point) for point in few]
        least = {task: min(each[task] for each in losses) for task in losses[0]}
        behind = [max(each[task] / max(least[task], 1e-12) for task in least) for each in losses]
        return few[int(np.argmin(behind))], f"best of {len(few)} by calibration loss"

    def _candidates(self, names: tuple[str, ...], values: Values) -> list[int]:
        middle = knee(values)
        if "size" in names:
            sizes = values[:, names.index("size")]
            among = np.flatnonzero(sizes <= sizes[middle])
        else:
            among = np.arange(len(values))
        part, count = values[among], values.shape[1]
        leaning = [scalarised(part, 1 + 2 * np.eye(count)[place]) for place in range(count)]
        found = among[[*leaning, *part.argmin(0).tolist()]].tolist()
        return list(dict.fromkeys([middle, *found]))[: self.few]
