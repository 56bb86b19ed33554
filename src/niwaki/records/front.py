"""The choices that a search for filters looked at and that nothing beats, each with what it is worth."""

from base64 import b64decode, b64encode
from collections.abc import Sequence

import numpy as np

from niwaki.errors import SettingError
from niwaki.records.base import RecordBase

__all__ = ["Front", "packed"]


def packed(kept: Sequence[Sequence[int]], sizes: Sequence[int]) -> str:
    """Write down which rows of each layer stay, a bit for each.

    Args:
        kept: For each layer the rows that stay.
        sizes: Filters of each layer.

    Returns:
        The bits of all layers one after the other, in base 64.

    Examples:
        >>> packed([[0, 2]], [8])
        'oA=='
    """
    bits = [np.isin(np.arange(size), rows) for rows, size in zip(kept, sizes, strict=True)]
    return b64encode(np.packbits(np.concatenate(bits)).tobytes()).decode()


class Front(RecordBase):
    """Choices of filters of which none is worse than another in every objective.

    Attributes:
        objectives: Names of the objectives; all are minimised and lie in [0, 1].
        values: For each choice, the value of each objective.
        bits: For each choice, which rows stay, as `packed` writes it.
        layers: Names of the layers.
        sizes: Filters of each layer.
        chosen: Which of the choices was taken.
        picked_by: How it was picked.
        algorithm: What searched.
        found: How many choices nothing beat; a long front is thinned to those that stand for it.
        judged: Candidates that were looked at.
        curve: In the course of the search the candidates seen so far and the hypervolume of what nothing had beaten, in
            [0, 1].
    """

    objectives: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    bits: tuple[str, ...]
    layers: tuple[str, ...]
    sizes: tuple[int, ...]
    chosen: int
    picked_by: str = ""
    algorithm: str = ""
    found: int = 0
    judged: int = 0
    curve: tuple[tuple[int, float], ...] = ()

    def kept(self, point: int) -> tuple[tuple[int, ...], ...]:
        """Return the rows of each layer that stay in one choice.

        Args:
            point: Which choice, from 0.

        Returns:
            For each layer its rows, increasing.

        Raises:
            SettingError: When there is no such choice.

        Examples:
            >>> front = Front(
            ...     objectives=("size",), values=((0.5,),), bits=("oA==",), layers=("0",), sizes=(4,), chosen=0
            ... )
            >>> front.kept(0)
            ((0, 2),)
        """
        if not 0 <= point < len(self.bits):
            raise SettingError(f"the front has no point {point}; its points: 0 to {len(self.bits) - 1}")
        raw = np.frombuffer(b64decode(self.bits[point]), np.uint8)
        row = np.unpackbits(raw, count=sum(self.sizes))
        parts = np.split(row, np.cumsum(self.sizes)[:-1])
        return tuple(tuple(np.flatnonzero(part).tolist()) for part in parts)
