"""Random numbers that are the same on every platform: raw bits of a counter and exactly rounded arithmetic."""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from niwaki.data.rooms.arrays import Bytes

__all__ = ["Draws", "noise_bytes"]

T = TypeVar("T")

_BLOCK = 1024
_UNIT = 1.0 / (1 << 53)


class Draws:
    """A stream of random numbers named by whole numbers, such as ``(seed, index)``.

    NumPy promises the bits of `numpy.random.PCG64`, not what its samplers make of them; so only the bits are used.

    Args:
        *key: Non-negative whole numbers that name the stream.

    Examples:
        >>> Draws(0, 1).uniform(0, 1) == Draws(0, 1).uniform(0, 1)
        True
        >>> Draws(0, 1).pick("abc")
        'c'
    """

    def __init__(self, *key: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence(key))
        self._left: list[float] = []

    def unit(self) -> float:
        """Return a number in [0, 1)."""
        if not self._left:
            raw = self._bits.random_raw(_BLOCK)
            self._left = ((raw >> np.uint64(11)).astype(np.float64) * _UNIT).tolist()
        return self._left.pop()

    def uniform(self, low: float, high: float) -> float:
        """Return a number in [low, high)."""
        return low + (high - low) * self.unit()

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from low to high, both included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.unit() < probability

    def pick(self, things: Sequence[T]) -> T:
        """Return one of the things, each as likely."""
        return things[int(self.unit() * len(things))]

    def turn(self, half_angle_tangent: float) -> tuple[float, float]:
        """Return cosine and sine of a small random angle, without trigonometry.

        Args:
            half_angle_tangent: The largest tangent of half the angle.

        Returns:
            Cosine and sine.
        """
        t = self.uniform(-half_angle_tangent, half_angle_tangent)
        return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def noise_bytes(count: int, *key: int) -> Bytes:
    """Return random bytes of the stream named by ``key``.

    Args:
        count: How many.
        *key: Non-negative whole numbers that name the stream.

    Returns:
        Bytes, uint8 ``[count]``.
    """
    raw = np.random.PCG64(np.random.SeedSequence(key)).random_raw((count + 7) // 8)
    return raw.astype("<u8").view(np.uint8)[:count]
