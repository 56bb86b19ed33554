"""The order and the bookkeeping of interleaved rounds; no test looks at absolute times."""

import gc
import time
from collections.abc import Callable

import pytest

from niwaki.errors import MeasureError
from niwaki.measure.rounds import Contestant, Rounds, time_rounds


def _logging(names: str) -> tuple[list[str], dict[Contestant, Callable[[], object]]]:
    log: list[str] = []

    def call(name: str) -> Callable[[], object]:
        def run() -> None:
            log.append(name)
            time.sleep(0.0025)  # long enough not to be repeated

        return run

    return log, {("eager", name): call(name) for name in names}


def test_every_round_has_every_contestant_and_directions_alternate() -> None:
    log, calls = _logging("abc")
    time_rounds(calls, rounds=3, warmup=2)
    assert "".join(log) == "aabbcc" + "abc" + "cba" + "abc"


def test_times_are_one_for_each_round_and_cpu_time_excludes_sleep() -> None:
    _, calls = _logging("ab")
    times = time_rounds(calls, rounds=4, warmup=1)
    assert {len(ms) for ms in (*times.wall_ms.values(), *times.cpu_ms.values())} == {4}
    for who, wall in times.wall_ms.items():
        assert min(wall) >= 2.5
        assert sum(times.cpu_ms[who]) < sum(wall)


def test_short_calls_are_repeated_and_divided() -> None:
    count = 0

    def short() -> None:
        nonlocal count
        count += 1

    times = time_rounds({("eager", "a"): short}, rounds=2, warmup=5)
    assert count > 7  # the warm-up, of which a busy machine may stretch some, and two turns of more than one call
    assert min(times.wall_ms["eager", "a"]) < 2.0  # of one call, not of a turn


def test_the_collector_rests_while_timing_and_works_again_afterwards() -> None:
    seen: list[bool] = []

    def call() -> None:
        seen.append(gc.isenabled())
        time.sleep(0.0025)

    time_rounds({("eager", "a"): call}, rounds=2, warmup=1)
    assert seen == [True, False, False]
    assert gc.isenabled()


def test_gains_are_ratios_within_a_round() -> None:
    times = {("ort", "dense"): (9.0, 8.0, 12.0), ("ort", "small"): (3.0, 4.0, 3.0)}
    assert Rounds(times, times).gains("dense", "small", "ort") == (3.0, 2.0, 4.0)
    with pytest.raises(MeasureError, match="tiny was not timed in ort; timed were: dense in ort, small in ort"):
        Rounds(times, times).gains("dense", "tiny", "ort")


def test_nothing_to_time_and_wrong_counts_are_refused() -> None:
    with pytest.raises(MeasureError, match="nothing to time"):
        time_rounds({}, rounds=1, warmup=1)
    for rounds, warmup in ((0, 1), (1, 0)):
        with pytest.raises(MeasureError, match="at least 1"):
            time_rounds({("eager", "a"): lambda: None}, rounds=rounds, warmup=warmup)
