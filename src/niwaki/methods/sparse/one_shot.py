"""Masks that are chosen once, by what some batches or the weights themselves say, and stay."""

from abc import abstractmethod
from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from niwaki.methods.calibration import Calibration, open_calibration, requiring_grad
from niwaki.methods.sparse.base import Given, SparseMethod, SparseRun
from niwaki.methods.sparse.choosing import top_k
from niwaki.methods.sparse.ranks import relative_ranks
from niwaki.methods.sparse.subject import Subject

__all__ = ["OneShot", "OneShotRun", "pick", "worth"]


def worth(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace scores of any sign and size by what they say: places among all of them, in [0, 1).

    Args:
        scores: Layer to scores; higher stays.

    Returns:
        The same layers; higher stays.

    Examples:
        >>> worth({"a": torch.tensor([-3.0, 8.0]), "b": torch.tensor([[0.0, 1.0]])})["b"].tolist()
        [[0.25, 0.5]]
    """
    ranks = relative_ranks(torch.cat([each.flatten() for each in scores.values()]))
    parts = ranks.split([each.numel() for each in scores.values()])
    return {name: 1 - part.view_as(each) for (name, each), part in zip(scores.items(), parts, strict=True)}


def pick(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> dict[str, Tensor]:
    """Mark in each layer as many weights as it keeps, those with the highest scores.

    Args:
        scores: Layer to scores.
        counts: Layer to the weights it keeps.

    Returns:
        Layer to bool mask.

    Examples:
        >>> pick({"a": torch.tensor([1.0, 3.0, 2.0])}, {"a": 2})["a"].tolist()
        [False, True, True]
    """
    return {name: top_k(scores[name], count) for name, count in counts.items()}


class OneShot(SparseMethod):
    """Scores every weight once and keeps the best; training goes on with those.

    Attributes:
        at: When, as a fraction of the steps; 0 is before training.
        batches: Batches of ``data`` that are looked at, at least 1.
    """

    at: float = Field(0.0, ge=0, le=1)
    batches: int = Field(1, ge=1)

    @property
    def looks_at_data(self) -> bool:
        """Whether it needs batches and the tasks' losses."""
        return True

    @abstractmethod
    def judge(self, model: nn.Module, subject: Subject, calibration: Calibration | None) -> Mapping[str, Tensor]:
        """Return how much each weight is worth.

        Args:
            model: The model, unwrapped.
            subject: Its layers.
            calibration: The batches, where it `looks_at_data`. The gradients of frozen weights can be taken.

        Returns:
            Layer to scores, at least 0; higher stays.
        """

    def make_run(self, subject: Subject, given: Given) -> SparseRun:
        """Return a run that has no masks yet."""
        return OneShotRun(self, subject, given)


class OneShotRun(SparseRun):
    """Waits for the moment, scores, and holds the masks from then on."""

    method: OneShot

    def __init__(self, method: OneShot, subject: Subject, given: Given) -> None:
        super().__init__(method, subject, given)
        self._moment = round(method.at * given.steps)
        self._calibration: Calibration | None = None

    @property
    def settled(self) -> bool:
        """Whether the masks are chosen."""
        return self.step >= self._moment

    def begin(self, model: nn.Module) -> None:
        """See that there is what the scores need, and choose if the moment is now."""
        self._open()
        super().begin(model)

    def choose(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        """Return the masks at their moment."""
        return self._chosen(model) if self.step == self._moment else None

    def complete(self, model: nn.Module) -> Mapping[str, Tensor] | None:
        """Choose now if training ended before the moment."""
        return None if self.settled else self._chosen(model)

    def _open(self) -> None:
        if self._calibration is None and self.method.looks_at_data:
            opened = open_calibration(self.given.tasks, self.given.data, self.method.batches)
            self._calibration = Calibration(opened.tasks, opened.batches, norms="batch")

    def _chosen(self, model: nn.Module) -> dict[str, Tensor]:
        self._open()
        with torch.no_grad(), requiring_grad(model, self.subject.names):
            scores = self.method.judge(model, self.subject, self._calibration)
        self._calibration = None
        self.counts = self.method.counts(self.subject.layers, scores)
        return pick(scores, self.counts)
