"""Factoring: layers that stay two smaller ones, so that this can be done again on loading."""

from typing import Literal

from niwaki.records.step import StepRecord

__all__ = ["Factoring"]


class Factoring(StepRecord):
    """The layers that were replaced by two of lower rank.

    Attributes:
        step: Always ``"factors"``.
        ranks: Name of a layer to the channels between its two factors, in each group.

    Examples:
        >>> Factoring(ranks={"stem": 4}).to_json()
        '{"step":"factors","ranks":{"stem":4}}'
    """

    step: Literal["factors"] = "factors"
    ranks: dict[str, int]
