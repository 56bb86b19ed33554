from collections.abc import Callable, Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from niwaki.errors import ContractError
from niwaki.methods.share.search import KMeans, KMedoids, SearchLayer, rankings
from niwaki.methods.share.search.asking import layers_of
from niwaki.methods.share.search.clustering import kmeans_rows, kmedoids_rows
from niwaki.methods.share.search.rankings import by_reach
from niwaki.methods.share.selecting import Question, Selector, selectors
from niwaki.methods.share.stack import LayerStack
from niwaki.settings.base import read_settings

MakeLayer = Callable[..., SearchLayer]
MakeQuestion = Callable[..., Question]
OURS = ("fpgm", "farthest", "greedy", "distinct", "random", "kmeans", "kmedoids")


def _selector(kind: str) -> Selector:
    return read_settings(selectors.get(kind), {})


@pytest.mark.parametrize("kind", OURS)
def test_each_keeps_as_many_as_are_asked(make_question: MakeQuestion, kind: str) -> None:
    question = make_question(3, 5, seed=1)
    found = _selector(kind).select(question).selection.kept
    assert [len(set(rows)) for rows in found] == [5, 5]
    assert all(list(rows) == sorted(rows) and max(rows) < 12 for rows in found)
    assert _selector(kind).select(make_question(3, 5, seed=1)).selection.kept == found


@pytest.mark.parametrize("kind", OURS)
def test_each_keeps_all_where_all_stay(make_question: MakeQuestion, kind: str) -> None:
    assert _selector(kind).select(make_question(0, 12)).selection.kept == (tuple(range(12)),) * 2


@pytest.mark.parametrize("kind", OURS)
def test_none_of_them_chooses_how_many(make_question: MakeQuestion, kind: str) -> None:
    with pytest.raises(ContractError, match=f"{kind}.*does not choose how many.*many_objective"):
        _selector(kind).select(make_question(0, None))


def test_ranked_ones_keep_the_first(make_question: MakeQuestion) -> None:
    question = make_question(0)
    for kind in ("fpgm", "farthest", "greedy", "distinct"):
        expected = [sorted(rankings.get(kind)(layer)[:6].tolist()) for layer in layers_of(question)]
        assert [list(rows) for rows in _selector(kind).select(question).selection.kept] == expected


def _cost(layer: SearchLayer, rows: Any) -> float:
    return float(layer.squares @ layer.deviations[:, rows].min(1))


def test_medoids_lose_no_more_than_where_they_began_and_nearly_the_least(make_layer: MakeLayer) -> None:
    for seed in range(6):
        layer = make_layer(seed)
        found = _cost(layer, kmedoids_rows(layer, 4, 20))
        assert found <= _cost(layer, np.sort(by_reach(layer)[:4])) + 1e-4
        best = min(_cost(layer, list(each)) for each in combinations(range(12), 4))
        assert found <= best + 0.1 * _cost(layer, [0])


def test_means_find_clusters_that_are_there() -> None:
    chance = np.random.default_rng(0)
    centres = 10 * np.eye(4)
    filters = np.repeat(centres, 5, axis=0) + 0.1 * chance.normal(size=(20, 4))
    for scaled in (True, False):
        layer = SearchLayer("a", filters.astype(np.float32), np.zeros(20, int), 4, 4, scaled=scaled)
        for seed in range(5):
            assert (kmeans_rows(layer, 4, 20, np.random.default_rng(seed)) // 5).tolist() == [0, 1, 2, 3]


def test_means_by_direction_join_what_differs_in_size_alone() -> None:
    filters = np.array([[1, 0], [100, 1], [0, 1], [1, 100]], np.float32)
    rows = kmeans_rows(SearchLayer("a", filters, np.zeros(4, int), 2, 2), 2, 20, np.random.default_rng(0))
    assert (rows // 2).tolist() == [0, 1]


def test_the_same_filter_many_times_is_no_trouble() -> None:
    layer = SearchLayer("a", np.ones((6, 2), np.float32), np.zeros(6, int), 3, 3)
    assert len(kmeans_rows(layer, 3, 20, np.random.default_rng(0))) == 3
    assert len(kmedoids_rows(layer, 3, 20)) == 3


def test_networks_are_numbered_by_their_tasks_in_all_layers() -> None:
    def stack(*members: tuple[str, ...]) -> LayerStack:
        owners = torch.arange(len(members)).repeat_interleave(2)
        filters = torch.ones(2 * len(members), 3)
        return LayerStack("a", tuple(map(str, members)), filters, owners, members, filters.sum(1))

    question = Question(stacks=(stack(("a",), ("b",)), stack(("b",), ("c",))), counts=None, least=(1, 2))
    first, second = layers_of(question)
    assert (first.owners.tolist(), second.owners.tolist()) == ([0, 0, 1, 1], [1, 1, 2, 2])
    assert [(each.least, each.most) for each in (first, second)] == [(1, 4), (2, 4)]


def test_the_limit_is_for_the_least_of_each_network() -> None:
    filters = torch.tensor([[1.0], [4.0], [2.0], [3.0], [9.0], [8.0]])
    stack = LayerStack("a", ("a", "b"), filters, torch.tensor([0, 0, 0, 0, 1, 1]), (("a",), ("b",)), filters[:, 0])
    question = Question(stacks=(stack,), counts=(2,), least=(1,), limit=0.3, below=0.5)
    (layer,) = layers_of(question)
    assert layer.limits is not None
    assert layer.limits.tolist() == pytest.approx([0.3, np.inf, 0.3, np.inf, np.inf, 0.3])


def test_settings_survive_plain_data() -> None:
    for each in (KMeans(rounds=3), KMedoids(rounds=4)):
        plain: Mapping[str, Any] = each.model_dump(mode="json")
        assert read_settings(type(each), plain) == each
