"""Steps: what was done to a model's structure, other than a cut, so that it can be done again on loading."""

from niwaki.records.base import RecordBase

__all__ = ["StepRecord"]


class StepRecord(RecordBase):
    """Plain data from which one change of a model's structure is replayed; its weights come from elsewhere.

    The first field of every step is ``step``, a text that tells the kinds apart; a cut is a `Plan`, which has none.

    Attributes:
        step: Which kind of change it is.
    """

    step: str
