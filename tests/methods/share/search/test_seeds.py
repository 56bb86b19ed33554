from collections.abc import Callable

import numpy as np
import pytest

from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.problem import ADAPTIVE, GIVEN, Problem
from niwaki.methods.share.search.rankings import rankings, ranks
from niwaki.methods.share.search.seeds import seed_rows, unseeded_rows

MakeLayer = Callable[..., SearchLayer]


@pytest.fixture
def free(make_layer: MakeLayer) -> Problem:
    return Problem((make_layer(0, filters=30, least=3, most=30), make_layer(1, filters=40, least=4, most=40)), ADAPTIVE)


def test_every_ranking_s_own_choice_is_there(make_layer: MakeLayer) -> None:
    problem = Problem((make_layer(0), make_layer(1)), GIVEN)
    ranked = [ranks(layer, rankings.names()) for layer in problem.layers]
    rows = {row.tobytes() for row in seed_rows(problem, ranked, 40, np.random.default_rng(0))}
    for name in rankings.names():
        own = problem.row([rankings.get(name)(layer)[:6] for layer in problem.layers])
        assert own.tobytes() in rows


def test_free_rates_are_spread_over_what_is_allowed(free: Problem) -> None:
    ranked = [ranks(layer, rankings.names()) for layer in free.layers]
    rows = seed_rows(free, ranked, 92, np.random.default_rng(0))
    for part, layer in zip(free.slices, free.layers, strict=True):
        densities = rows[:, part].mean(1)
        assert (rows[:, part].sum(1) >= layer.least).all()
        assert densities.min() < 0.15
        assert densities.max() > 0.95
        assert np.abs(np.histogram(densities, 5, (0.1, 1))[0] - 92 / 5).max() < 8


def test_no_row_comes_twice(free: Problem) -> None:
    rows = seed_rows(free, [], 92, np.random.default_rng(0))
    assert len(np.unique(rows, axis=0)) == len(rows) == 92


def test_where_there_are_fewer_rows_all_are_there() -> None:
    layer = SearchLayer("a", np.eye(4, dtype=np.float32), np.zeros(4, int), 2, 2)
    assert len(seed_rows(Problem((layer,), GIVEN), [], 92, np.random.default_rng(0))) == 6


def test_without_seeds_rows_are_coin_tosses(free: Problem) -> None:
    rows = unseeded_rows(free, 92, np.random.default_rng(0))
    assert abs(rows.mean() - 0.5) < 0.02
