from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
import torch

from niwaki.methods.prune.criteria.fpgm import distances_to_others
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.objectives import reconstruction
from niwaki.methods.share.search.rankings import by_distance, by_reach, by_turning_away, farthest_first, rankings

MakeLayer = Callable[..., SearchLayer]


@pytest.mark.parametrize("name", rankings.names())
@pytest.mark.parametrize("seed", range(3))
def test_each_names_every_filter_once(make_layer: MakeLayer, name: str, seed: int) -> None:
    layer = make_layer(seed)
    assert sorted(rankings.get(name)(layer).tolist()) == list(range(12))


def test_fpgm_is_pruning_s_own(make_layer: MakeLayer) -> None:
    layer = make_layer(2)
    expected = np.argsort(-distances_to_others(torch.from_numpy(layer.filters)), kind="stable")
    assert by_distance(layer).tolist() == expected.tolist()


def test_greedy_takes_the_best_next_one_each_time(make_layer: MakeLayer) -> None:
    layer = make_layer(5)
    order = by_reach(layer)
    kept = np.zeros(12, bool)
    for chosen in order:
        tries = np.stack([kept | (np.arange(12) == each) for each in np.flatnonzero(~kept)])
        best = reconstruction(layer, tries).min()
        kept[chosen] = True
        assert reconstruction(layer, kept[None])[0] == pytest.approx(best, abs=1e-5)


def test_greedy_keeps_its_bound(make_layer: MakeLayer) -> None:
    for seed in range(5):
        layer = make_layer(seed)
        sets = np.array([np.isin(np.arange(12), each) for each in combinations(range(12), 4)])
        best, greedy = reconstruction(layer, sets).min(), np.isin(np.arange(12), by_reach(layer)[:4])
        assert 1 - reconstruction(layer, greedy[None])[0] >= (1 - 1 / np.e) * (1 - best)


def test_the_farthest_is_the_worst_served(make_layer: MakeLayer) -> None:
    layer = make_layer(6)
    order = farthest_first(layer)
    for place in range(1, 6):
        served = layer.deviations[:, order[:place]].min(1)
        served[order[:place]] = -1
        assert served[order[place]] == pytest.approx(served.max(), abs=1e-5)


def test_the_one_most_like_the_others_goes_first(make_layer: MakeLayer) -> None:
    layer = make_layer(7)
    order = by_turning_away(layer)
    for left in range(12, 1, -1):
        likeness = layer.cosines[np.ix_(order[:left], order[:left])].sum(1)
        assert likeness[left - 1] == pytest.approx(likeness.max(), abs=1e-5)
