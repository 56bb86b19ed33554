"""The choices that a search for filters looked at and that nothing beats, each with what it is worth."""

from niwaki.records.base import RecordBase

__all__ = ["Front"]


class Front(RecordBase):
    """Choices of filters of which none is worse than another in every objective.

    Attributes:
        objectives: Names of the objectives; all are minimised.
        values: For each choice, the value of each objective.
        kept: For each choice and layer, the rows that stay.
        chosen: Which of them was taken.
    """

    objectives: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    kept: tuple[tuple[tuple[int, ...], ...], ...]
    chosen: int
