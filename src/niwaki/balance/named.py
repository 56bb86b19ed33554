"""What the aggregators with names of their own keep: options beside `kind`, and a scale that can be compared."""

from collections.abc import Mapping
from typing import Any, ClassVar

from niwaki.balance.aggregator import Aggregator

__all__ = ["NamedAggregator", "Preference"]

Preference = dict[str, float] | None
"""What each task counts; 1 where None."""

_THEIRS = {"preference": "pref_vector"}
"""Our names of options to TorchJD's, where they differ."""


class NamedAggregator(Aggregator):
    """One class of TorchJD under LibMTL's short name.

    Where a method leaves the length open, equal gradients give their plain sum: what is a mean in TorchJD is
    multiplied with the number of tasks here, so that step sizes can be compared with equal weighting.

    Attributes:
        method: Name of TorchJD's class.
        draws: Whether it draws, and so has a seed.
    """

    method: ClassVar[str]
    draws: ClassVar[bool] = False

    def __init__(self, scale: float | str = 1.0, *, seed: int = 0, **options: Any) -> None:
        self._described = {name: dict(each) if isinstance(each, Mapping) else each for name, each in options.items()}
        theirs = {_THEIRS.get(name, name): each for name, each in self._described.items() if each is not None}
        super().__init__(self.method, options=theirs, scale=scale, seed=seed)

    def describe(self) -> dict[str, Any]:
        """Return ``kind`` and the options."""
        seed = {"seed": self._randomness.seed} if self.draws else {}
        return {"kind": self.kind, **self._described, **seed}
