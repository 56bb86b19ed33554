"""Blend: several criteria as one, by the ranks they give."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor, nn

from niwaki.graph import Channels
from niwaki.methods.calibration import Gradients
from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria
from niwaki.methods.prune.criteria.cos_prune import CosPrune
from niwaki.methods.prune.criteria.taylor import Taylor
from niwaki.methods.prune.evidence import Evidence
from niwaki.methods.prune.ranks import ranks_by_part
from niwaki.settings import family

__all__ = ["Blend"]


class _Evidences(Evidence):
    """The evidence of every criterion that gathers some."""

    def __init__(self, of: list[Evidence | None]) -> None:
        self.of = of
        self._some = [each for each in of if each is not None]
        self.parameters = tuple(dict.fromkeys(name for each in self._some for name in each.parameters))
        self.batches = 0

    def see(self, parameters: Mapping[str, Tensor], gradients: Gradients) -> None:
        for each in self._some:
            each.see(parameters, gradients)
        self.batches += bool(gradients)

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "of": [each.state_dict() for each in self._some]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.batches = int(state["batches"])
        for each, part in zip(self._some, state["of"], strict=True):
            each.load_state_dict(part)


@criteria.register("blend")
class Blend(Criterion):
    """The weighted mean of the ranks that several criteria give.

    A cosine knows nothing of sizes, which Taylor does; the two together are the default.

    Attributes:
        of: The criteria, at least one.
        weights: How much each counts, above 0; all the same by default.

    Raises:
        SettingError: When there are not as many weights as criteria.

    Examples:
        >>> Blend(weights=(1, 3)).weights
        (1.0, 3.0)
    """

    kind: Literal["blend"] = "blend"
    of: tuple[Annotated[Criterion, *family(criteria)], ...] = Field((CosPrune(), Taylor()), min_length=1)
    weights: tuple[Annotated[float, Field(gt=0)], ...] | None = None

    @model_validator(mode="after")
    def _as_many_weights(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.of):
            raise ValueError(f"{len(self.of)} criteria need as many weights, not {len(self.weights)}")
        return self

    def gather(self, channels: Channels) -> Evidence | None:
        """Return the evidence of all of them together."""
        found = [each.gather(channels) for each in self.of]
        return _Evidences(found) if any(each is not None for each in found) else None

    def score(self, model: nn.Module, channels: Channels, evidence: Evidence | None = None) -> Scores:
        """Return the mean ranks, ``[classes]``, in [0, 1]. See `Criterion.score`.

        Raises:
            ContractError: When one of the criteria needs batches and saw none.
        """
        parts = np.where(channels.removable, 0, -1)
        ranks = [
            ranks_by_part(each.score(model, channels, own), parts)
            for each, own in zip(self.of, self._split(evidence), strict=True)
        ]
        return np.average(np.stack(ranks), axis=0, weights=self.weights)

    def penalty(self, model: nn.Module, channels: Channels) -> Tensor | None:
        """Return the sum of their penalties."""
        found = [each for each in (part.penalty(model, channels) for part in self.of) if each is not None]
        return sum(found[1:], found[0]) if found else None

    def notes(self, channels: Channels, evidence: Evidence | None) -> tuple[str, ...]:
        """Return what each of them has to say."""
        parts = zip(self.of, self._split(evidence), strict=True)
        return tuple(note for each, own in parts for note in each.notes(channels, own))

    def _split(self, evidence: Evidence | None) -> list[Evidence | None]:
        return evidence.of if isinstance(evidence, _Evidences) else [None] * len(self.of)
