from collections.abc import Callable

import numpy as np
import pytest
from pymoo.util.ref_dirs import get_reference_directions

from niwaki.errors import ContractError, MissingExtraError
from niwaki.methods.share.search.algorithms import algorithms, directions
from niwaki.methods.share.search.archive import not_dominated
from niwaki.methods.share.search.effort import Effort
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.problem import ADAPTIVE, GIVEN, Problem
from niwaki.methods.share.search.rankings import rankings
from niwaki.methods.share.search.searching import search

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
def test_those_that_need_numba_search_with_it(make_layer: MakeLayer, name: str) -> None:
    pytest.importorskip("numba", reason="niwaki[search] is not installed")
    found = search(Problem((make_layer(0),), GIVEN), Effort(algorithm=name, generations=2))
    assert not_dominated(found.values).all()


def test_an_aim_draws_the_search_to_it(make_layer: MakeLayer) -> None:
    problem = Problem((make_layer(0, filters=30),), GIVEN)
    effort = Effort(algorithm="rnsga3", generations=4, aims=((0.0, 1.0, 1.0), (1.0, 1.0, 0.0)))
    assert len(search(problem, effort).rows)


def test_aims_have_a_value_for_each_objective(make_layer: MakeLayer) -> None:
    problem = Problem((make_layer(0, filters=30),), GIVEN)
    with pytest.raises(ContractError, match="search's 3 objectives, got aims of 3, 2; give the missing values"):
        search(problem, Effort(algorithm="rnsga3", aims=((0.0, 1.0, 1.0), (1.0, 0.0))))


def test_what_fails_for_another_reason_says_so(make_layer: MakeLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.setattr("niwaki.methods.share.search.algorithms.import_module", broken)
    with pytest.raises(ImportError, match=r"no pymoo.algorithms.moo.nsga3"):
        search(Problem((make_layer(0),), GIVEN), Effort())


@pytest.mark.parametrize("name", sorted(COMPILED))
def test_without_numba_the_extra_is_named(make_layer: MakeLayer, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def broken(name: str) -> None:
        raise ModuleNotFoundError(f"{name}: No module named 'numba'")

    monkeypatch.setattr("niwaki.methods.share.search.algorithms.import_module", broken)
    with pytest.raises(MissingExtraError, match=r"niwaki\[search\]"):
        search(Problem((make_layer(0),), GIVEN), Effort(algorithm=name))


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
