from collections.abc import Callable

import numpy as np
import pytest

from niwaki.errors import ContractError
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.objectives import reconstruction
from niwaki.methods.share.search.problem import ADAPTIVE, GIVEN, Problem, default_objectives

MakeLayer = Callable[..., SearchLayer]


def test_layers_count_by_their_parameters(make_layer: MakeLayer) -> None:
    layers = (make_layer(0), make_layer(1, filters=20))
    problem = Problem(layers, ("reconstruction",))
    rows = np.random.default_rng(0).random((40, len(problem))) < 0.5
    parts = [reconstruction(layer, rows[:, part]) for layer, part in zip(layers, problem.slices, strict=True)]
    expected = (60 * parts[0] + 100 * parts[1]) / 160
    np.testing.assert_allclose(problem.judge(rows)[:, 0], expected, rtol=1e-5)


def test_weights_of_layers_can_be_given(make_layer: MakeLayer) -> None:
    layers = (make_layer(0, weight=0.0), make_layer(1))
    rows = np.random.default_rng(0).random((5, 24)) < 0.5
    alone = Problem(layers[1:], GIVEN).judge(rows[:, 12:])
    np.testing.assert_allclose(Problem(layers, GIVEN).judge(rows), alone, rtol=1e-6)


def test_the_worst_task_is_the_worst_over_all_layers_together() -> None:
    filters = np.array([[1, 0], [0, 1]], np.float32)
    first = SearchLayer("a", filters, np.array([0, 1]), 1, 1)
    second = SearchLayer("b", filters, np.array([0, 1]), 1, 1)
    problem = Problem((first, second), ("worst_task",))
    turns, same = [True, False, False, True], [True, False, True, False]
    assert problem.judge(np.array([turns, same])).tolist() == [[0.5], [1.0]]


def test_a_network_without_the_layer_is_not_judged_by_it() -> None:
    filters = np.array([[1, 0], [0, 1]], np.float32)
    both = SearchLayer("a", filters, np.array([0, 1]), 1, 1)
    second = SearchLayer("b", filters, np.array([1, 1]), 1, 1)
    problem = Problem((both, second), ("worst_task",))
    assert problem.judge(np.array([[False, True, True, False]])).tolist() == [[1.0]]
    assert problem.judge(np.array([[True, False, True, False]])).tolist() == [[0.75]]


def test_rows_and_kept_filters_are_each_other_s_inverse(make_layer: MakeLayer) -> None:
    problem = Problem((make_layer(0), make_layer(1)), GIVEN)
    row = np.random.default_rng(0).random(24) < 0.5
    assert (problem.row(problem.kept(row)) == row).all()


def test_values_don_t_depend_on_how_many_are_judged(make_layer: MakeLayer) -> None:
    problem = Problem((make_layer(0),), GIVEN)
    rows = np.random.default_rng(0).random((64, 12)) < 0.5
    assert (problem.judge(rows)[32:] == problem.judge(rows[32:])).all()


def test_free_rates_bring_two_more_objectives(make_layer: MakeLayer) -> None:
    given, free = make_layer(0), make_layer(1, least=1, most=12)
    assert default_objectives([given]) == GIVEN
    assert default_objectives([given, free]) == ADAPTIVE


def test_nothing_to_search_is_refused(make_layer: MakeLayer) -> None:
    with pytest.raises(ContractError, match="at least one layer of filters and one objective"):
        Problem((), GIVEN)
    with pytest.raises(ContractError, match="one objective"):
        Problem((make_layer(0),), ())
