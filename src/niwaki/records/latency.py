"""How long models take, side by side."""

from niwaki.records.base import RecordBase

__all__ = ["ROUNDS", "Latency", "Timing", "told_gain"]

_SAME = 0.03
"""A difference of speeds that is none."""

ROUNDS = 30
"""Interleaved rounds of timing wherever nobody says otherwise: recipes, the command line, `niwaki.measure_latency`."""


class Timing(RecordBase):
    """Times of one model in one runtime, over interleaved rounds.

    Attributes:
        model: Which model, as the caller named it (``"dense"``, ``"small"``).
        runtime: Runtime and version, such as ``"onnxruntime 1.31.1"``.
        median_ms: Median wall time of one call, milliseconds.
        min_ms: Fastest call, milliseconds.
        spread_ms: Interquartile range of the calls, milliseconds.
        cpu_ms: Median process CPU time of one call, milliseconds.
        rounds: Number of timed calls.
    """

    model: str
    runtime: str
    median_ms: float
    min_ms: float
    spread_ms: float
    cpu_ms: float
    rounds: int


class Latency(RecordBase):
    """Timings taken in one interleaved session, so that they can be compared with each other and nothing else.

    Attributes:
        timings: One entry for each model and runtime.
        device: Where it ran, in words.
        threads: Threads inside one operator.
        batch: Batch size.
        warmup: Untimed calls before the first round.
        warnings: Why the figures may be off, such as a busy machine.
    """

    timings: tuple[Timing, ...]
    device: str
    threads: int
    batch: int
    warmup: int
    warnings: tuple[str, ...] = ()

    def of(self, model: str, runtime: str) -> Timing | None:
        """Return the timing of one model in a runtime, or None when it was not taken.

        Args:
            model: The caller's name of the model.
            runtime: Name of the runtime; its version may be left out.

        Returns:
            The timing, or None.
        """
        return next((each for each in self.timings if each.model == model and each.runtime.startswith(runtime)), None)

    def gain(self, before: str, after: str, runtime: str) -> float:
        """Return how many times faster ``after`` is than ``before``, by medians; NaN when either was not timed.

        Args:
            before: Name of the first model.
            after: Name of the second model.
            runtime: Name of the runtime; its version may be left out.

        Returns:
            Ratio of median times.
        """
        first, second = self.of(before, runtime), self.of(after, runtime)
        return first.median_ms / second.median_ms if first and second else float("nan")


def told_gain(gain: float) -> str:
    """Say how much faster or slower the small model is.

    Args:
        gain: Time of the dense model over that of the small one.

    Returns:
        Words; a difference below 3 % is none.

    Examples:
        >>> told_gain(1.5), told_gain(0.5), told_gain(1.01)
        ('1.50x as fast', '2.00x slower', 'as fast as the dense one')
    """
    if abs(gain - 1) < _SAME:
        return "as fast as the dense one"
    return f"{gain:.2f}x as fast" if gain > 1 else f"{1 / gain:.2f}x slower"
