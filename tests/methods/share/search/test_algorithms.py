import importlib.util
from collections.abc import Callable

import numpy as np
import pytest
from pymoo.util.ref_dirs import get_reference_directions

from niwaki.errors import MissingExtraError
from niwaki.methods.share.search.algorithms import algorithms, directions
from niwaki.methods.share.search.archive import not_dominated
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.problem import ADAPTIVE, GIVEN, Problem
from niwaki.methods.share.search.rankings import rankings
from niwaki.methods.share.search.searching import Effort, search

MakeLayer = Callable[..., SearchLayer]
COMPILED = {"age_moea", "age_moea2"}


@pytest.mark.parametrize("name", sorted(set(algorithms.names()) - COMPILED))
@pytest.mark.parametrize("objectives", [GIVEN, ADAPTIVE])
def test_each_searches_by_ask_and_tell(make_layer: MakeLayer, name: str, objectives: tuple[str, ...]) -> None:
    bounds = {} if objectives == GIVEN else {"least": 2, "most": 20}
    problem = Problem(tuple(make_layer(seed, filters=20, **bounds) for seed in range(2)), objectives)
    effort = Effort(algorithm=name, generations=4, rankings=rankings.names())
    first, second = search(problem, effort), search(problem, effort)
    assert not_dominated(first.values).all()
    assert (first.values == second.values).all()
    assert first.curve[-1][1] >= first.curve[0][1]
    for part, layer in zip(problem.slices, problem.layers, strict=True):
        sizes = first.rows[:, part].sum(1)
        assert ((sizes >= layer.least) & (sizes <= layer.most)).all()


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_those_that_need_numba_say_so(make_layer: MakeLayer, name: str) -> None:
    problem = Problem((make_layer(0),), GIVEN)
    effort = Effort(algorithm=name, generations=2)
    if importlib.util.find_spec("numba") is None:
        with pytest.raises(MissingExtraError, match=r"niwaki\[search\]"):
            search(problem, effort)
    else:
        assert not_dominated(search(problem, effort).values).all()


def test_an_aim_draws_the_search_to_it(make_layer: MakeLayer) -> None:
    problem = Problem((make_layer(0, filters=30),), GIVEN)
    effort = Effort(algorithm="rnsga3", generations=4, aims=((0.0, 1.0, 1.0), (1.0, 1.0, 0.0)))
    assert len(search(problem, effort).rows)


def test_directions_for_three_objectives_are_das_and_dennis_s() -> None:
    found = directions(3)
    assert found.shape == (91, 3)
    np.testing.assert_allclose(found * 12, np.round(found * 12), atol=1e-9)
    np.testing.assert_allclose(found.sum(1), 1)


def test_other_numbers_of_objectives_have_directions_too() -> None:
    assert directions(1).tolist() == [[1.0]]
    assert directions(2).shape == (92, 2)
    np.testing.assert_allclose(directions(5).sum(1), 1, atol=1e-5)


@pytest.mark.slow
def test_those_for_five_are_pymoo_s_spread_by_energy() -> None:
    np.testing.assert_allclose(directions(5), get_reference_directions("energy", 5, 92, seed=1), atol=1e-4)
