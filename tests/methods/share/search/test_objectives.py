from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from niwaki.errors import SettingError
from niwaki.methods.share.search.layer import Masks, SearchLayer
from niwaki.methods.share.search.objectives import (
    crowding,
    importance,
    objectives,
    reconstruction,
    redundancy,
    size,
    worst_task,
)
from niwaki.methods.share.search.problem import Problem

MakeLayer = Callable[..., SearchLayer]


def _rows(layer: SearchLayer, seed: int, count: int = 20) -> Masks:
    rows = np.random.default_rng(seed).random((count, len(layer))) < 0.4
    rows[:, 0] |= ~rows.any(1)
    return rows


@pytest.mark.parametrize("scaled", [True, False])
def test_each_is_its_formula_in_a_slow_loop(make_layer: MakeLayer, scaled: bool) -> None:
    layer = make_layer(3, scaled=scaled)
    rows = _rows(layer, 0)
    found = {each.__name__: each(layer, rows) for each in (importance, redundancy, crowding, reconstruction, size)}
    mass, energy = np.abs(layer.filters).sum(1), np.square(layer.filters).sum(1)
    for place, row in enumerate(rows):
        kept = np.flatnonzero(row)
        pairs = [(i, j) for i in kept for j in kept if i < j]
        lost = sum(energy[i] * min(layer.deviations[i, j] for j in kept) for i in range(len(layer)))
        alike = np.mean([layer.cosines[i, j] for i, j in pairs]) if pairs else 0
        apart = np.mean([np.linalg.norm(layer.filters[i] - layer.filters[j]) for i, j in pairs]) if pairs else 0
        assert found["importance"][place] == pytest.approx(1 - mass[kept].sum() / mass.sum(), abs=1e-5)
        assert found["redundancy"][place] == pytest.approx(alike, abs=1e-5)
        assert found["crowding"][place] == pytest.approx(1 - apart / layer.distances.max(), abs=1e-4)
        assert found["reconstruction"][place] == pytest.approx(lost / energy.sum(), abs=1e-5)
        assert found["size"][place] == pytest.approx(len(kept) / len(layer))


def test_the_worst_task_s_reconstruction_is_that_of_its_filters_alone(make_layer: MakeLayer) -> None:
    layer = make_layer(4, networks=3)
    rows = _rows(layer, 1)
    found = worst_task(layer, rows)
    for network in range(3):
        mine = layer.owners == network
        lost = np.stack([layer.deviations[:, row].min(1) for row in rows])
        expected = (lost * layer.squares)[:, mine].sum(1) / layer.squares[mine].sum()
        np.testing.assert_allclose(found[:, network], expected, atol=1e-5)


@given(st.integers(0, 10**6), st.integers(0, 11), st.booleans())
def test_one_more_filter_never_rebuilds_worse(seed: int, joining: int, scaled: bool) -> None:
    chance = np.random.default_rng(seed)
    filters = (chance.normal(size=(12, 4)) * chance.lognormal(sigma=2, size=(12, 1))).astype(np.float32)
    layer = SearchLayer("a", filters, np.arange(12) // 6, 1, 12, scaled=scaled)
    fewer = _rows(layer, seed)
    more = fewer.copy()
    more[:, joining] = True
    assert (reconstruction(layer, more) <= reconstruction(layer, fewer) + 1e-6).all()
    assert (importance(layer, more) <= importance(layer, fewer) + 1e-6).all()


@given(st.integers(0, 10**6))
def test_all_lie_between_nought_and_one(seed: int) -> None:
    chance = np.random.default_rng(seed)
    filters = (chance.normal(size=(9, 3)) * chance.lognormal(sigma=3, size=(9, 1))).astype(np.float32)
    layer = SearchLayer("a", filters, np.arange(9) // 3, 1, 9)
    for name in objectives.names():
        found = objectives.get(name)(layer, _rows(layer, seed))
        assert (found >= -1e-5).all()
        assert (found <= 1 + 1e-5).all()


def test_layers_of_zeros_cost_nothing() -> None:
    layer = SearchLayer("a", np.zeros((4, 2), np.float32), np.array([0, 0, 1, 1]), 1, 4)
    row = np.array([[True, False, False, False]])
    assert reconstruction(layer, row).tolist() == [0]
    assert importance(layer, row).tolist() == [0]
    assert worst_task(layer, row).tolist() == [[0, 0]]


def test_mass_may_come_from_elsewhere() -> None:
    layer = SearchLayer("a", np.ones((3, 2), np.float32), np.zeros(3, int), 1, 3, mass=np.array([1.0, 1.0, 2.0]))
    assert importance(layer, np.array([[False, False, True]])).tolist() == [0.5]


def test_one_s_own_objective_joins_by_name(make_layer: MakeLayer) -> None:
    layer = make_layer(0)

    def first(_: SearchLayer, kept: Masks) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        return kept[:, 0].astype(np.float32)

    if "first" not in objectives.names():
        objectives.register("first")(first)
    assert Problem((layer,), ("first",)).judge(np.eye(12, dtype=bool)[:2]).tolist() == [[1.0], [0.0]]


def test_an_unknown_one_is_named(make_layer: MakeLayer) -> None:
    with pytest.raises(SettingError, match="unknown objective 'importence'; did you mean 'importance'"):
        Problem((make_layer(0),), ("importence",))
