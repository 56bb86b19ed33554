"""One cut of a run: when it was made, what it left, and the file that holds the model right after it."""

from niwaki.records.base import RecordBase

__all__ = ["CutRecord"]


class CutRecord(RecordBase):
    """A step of pruning.

    Attributes:
        number: Which cut, from 1.
        step: Optimizer steps before it.
        params: Parameters that are left.
        reached: What is left as fractions of the model before the first cut of its method, such as
            ``{"macs": 0.75}``.
        file: The model right after the cut, inside the run directory; `niwaki.load` reads it. Empty where none is kept.
    """

    number: int
    step: int
    params: int
    reached: dict[str, float] = {}
    file: str = ""
