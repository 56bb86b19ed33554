"""The reduction over tasks: laws that hold for every way."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from niwaki.methods.prune.over_tasks import Reduction, reduce_tasks

WAYS: tuple[Reduction, ...] = ("mean", "max", "min", "vote")
ways = pytest.mark.parametrize("how", WAYS)


def drawn(tasks: int, channels: int, seed: int, *, missing: bool = True) -> NDArray[np.float64]:
    generator = np.random.default_rng(seed)
    scores = generator.random((tasks, channels))
    if missing:
        scores[generator.random((tasks, channels)) < 0.3] = np.nan
    return scores


@ways
@given(tasks=st.integers(1, 5), channels=st.integers(1, 9), seed=st.integers(0, 50))
def test_neither_order_nor_units_matter(how: Reduction, tasks: int, channels: int, seed: int) -> None:
    scores = drawn(tasks, channels, seed)
    found = reduce_tasks(scores, how)
    assert found.shape == (channels,)
    assert (found >= 0).all()
    units = 10.0 ** np.arange(tasks)[:, None]
    np.testing.assert_allclose(reduce_tasks(scores * units, how), found, rtol=1e-9)
    np.testing.assert_allclose(reduce_tasks(scores[::-1], how), found, rtol=1e-9)
    assert (found[np.isnan(scores).all(axis=0)] == 0).all()


@ways
def test_one_task_keeps_its_order(how: Reduction) -> None:
    scores = drawn(1, 12, 3, missing=False)
    assert (np.argsort(reduce_tasks(scores, how)) == np.argsort(scores[0])).all()


@given(seed=st.integers(0, 50))
def test_mean_max_and_min_by_a_slow_loop(seed: int) -> None:
    scores = drawn(3, 6, seed)
    for channel in range(6):
        own = []
        for row in scores:
            used = [value for value in row if not np.isnan(value)]
            if not np.isnan(row[channel]):
                own.append(row[channel] / (sum(used) / len(used)))
        if own:
            for how, expected in (("mean", sum(own) / len(own)), ("max", max(own)), ("min", min(own))):
                assert reduce_tasks(scores, how)[channel] == pytest.approx(expected)  # type: ignore[arg-type]  # a way


def test_a_task_that_needs_nothing_protects_nothing() -> None:
    scores = np.array([[0.0, 0.0], [1.0, 3.0]])
    assert reduce_tasks(scores, "max").tolist() == [0.5, 1.5]
    assert reduce_tasks(scores, "min").tolist() == [0.0, 0.0]
