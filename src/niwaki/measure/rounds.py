"""Interleaved rounds: everything that is compared is timed in turn, so that a busy moment meets all of it."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from niwaki.errors import MeasureError

__all__ = ["Contestant", "Rounds", "time_rounds"]

Contestant = tuple[str, str]
"""Runtime and model."""

_SHORTEST_MS = 2.0  # a call below this is repeated inside its turn, so that the clock's own cost is lost in it


@dataclass(frozen=True)
class Rounds:
    """Times of every contestant in every round, milliseconds for one call.

    Attributes:
        wall_ms: Contestant to wall time, one entry a round.
        cpu_ms: Contestant to the CPU time of the whole process, one entry a round.
    """

    wall_ms: Mapping[Contestant, tuple[float, ...]]
    cpu_ms: Mapping[Contestant, tuple[float, ...]]

    def gains(self, before: str, after: str, runtime: str) -> tuple[float, ...]:
        """Return how many times faster ``after`` was than ``before``, round by round.

        Both times of a ratio were taken side by side, so their spread says how far a gain can be trusted.

        Args:
            before: Name of the first model.
            after: Name of the second model.
            runtime: Name of the runtime.

        Returns:
            One ratio for each round.

        Raises:
            MeasureError: When one of the two was not timed in that runtime.

        Examples:
            >>> times = {("eager", "dense"): (4.0, 6.0), ("eager", "small"): (2.0, 2.0)}
            >>> Rounds(times, times).gains("dense", "small", "eager")
            (2.0, 3.0)
        """
        for name in (before, after):
            if (runtime, name) not in self.wall_ms:
                timed = ", ".join(f"{model} in {where}" for where, model in self.wall_ms)
                raise MeasureError(f"{name} was not timed in {runtime}; timed were: {timed}")
        pairs = zip(self.wall_ms[runtime, before], self.wall_ms[runtime, after], strict=True)
        return tuple(first / second for first, second in pairs)


def time_rounds(contestants: Mapping[Contestant, Callable[[], object]], *, rounds: int, warmup: int) -> Rounds:
    """Time contestants in turn, round after round; every second round goes through them backwards.

    Args:
        contestants: Runtime and model to a call without arguments that returns when its work is done.
        rounds: Turns of each contestant, at least 1.
        warmup: Untimed calls of each contestant before the first round, at least 1.

    Returns:
        The time of one call in each round.

    Raises:
        MeasureError: When there is nothing to time, or a count is below 1.

    Examples:
        >>> seen = []
        >>> calls = {("eager", name): (lambda name=name: seen.append(name)) for name in ("a", "b")}
        >>> len(time_rounds(calls, rounds=3, warmup=1).wall_ms["eager", "a"])
        3
    """
    if not contestants:
        raise MeasureError("there is nothing to time; give at least one model and a runtime that takes it")
    if rounds < 1 or warmup < 1:
        raise MeasureError(f"rounds and warmup are at least 1; got {rounds} and {warmup}")
    repeats = {who: _repeats(call, warmup) for who, call in contestants.items()}
    wall: dict[Contestant, list[float]] = {who: [] for who in contestants}
    cpu: dict[Contestant, list[float]] = {who: [] for who in contestants}
    with _no_collection():
        for turn in range(rounds):
            for who in list(contestants)[:: -1 if turn % 2 else 1]:
                taken, worked = _time(contestants[who], repeats[who])
                wall[who].append(taken)
                cpu[who].append(worked)
    return Rounds({who: tuple(ms) for who, ms in wall.items()}, {who: tuple(ms) for who, ms in cpu.items()})


def _repeats(call: Callable[[], object], warmup: int) -> int:
    typical = statistics.median(_time(call, 1)[0] for _ in range(warmup))
    return max(1, math.ceil(_SHORTEST_MS / max(typical, 1e-3)))


def _time(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - wall) * 1e3 / repeats, (time.process_time() - cpu) * 1e3 / repeats


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep Python's garbage collector out of the timings."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
