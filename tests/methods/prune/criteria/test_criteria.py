"""Criteria against slow loops over every weight."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki.errors import SettingError
from niwaki.graph import find_channels, trace
from niwaki.methods.prune import Magnitude, RandomScore, Selection
from niwaki.methods.prune.criteria import criteria, slice_magnitudes
from niwaki.settings import Budget


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), data=st.data(), norm=st.sampled_from([1, 2]))
def test_slices_by_a_slow_loop(shape: list[int], data: st.DataObject, norm: int) -> None:
    dims = data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = slice_magnitudes(weight, sorted(dims), 1 if norm == 1 else 2)
    assert found.keys() == dims
    for dim in dims:
        for position in range(shape[dim]):
            entries = weight.select(dim, position).flatten().tolist()
            assert found[dim][position] == pytest.approx(sum(abs(entry) ** norm for entry in entries))


def test_half_precision_does_not_overflow() -> None:
    sums = slice_magnitudes(torch.full((2, 3), 1e3, dtype=torch.float16), [0], 2)
    assert sums[0].tolist() == [3e6, 3e6]


@pytest.mark.parametrize("norm", [1, 2])
def test_classes_by_a_slow_loop(make_net: Callable[[], nn.Module], example: Tensor, norm: int) -> None:
    """Every weight counts once for each of its dimensions that bears a class."""
    net = make_net()
    channels = find_channels(trace(net, example))
    expected = [0.0] * channels.count
    for name, parameter in net.named_parameters():
        weights = parameter.detach()
        for place in np.ndindex(tuple(parameter.shape)):
            for labels, position in zip(channels.tensors[name], place, strict=True):
                if labels is not None:
                    expected[labels[position]] += abs(float(weights[place])) ** norm
    found = Magnitude(norm=1 if norm == 1 else 2).score(net, channels)
    np.testing.assert_allclose(found[1:], np.array(expected[1:]) ** (1 / norm), rtol=1e-6)


def test_random_scores_repeat_with_their_seed(make_net: Callable[[], nn.Module], example: Tensor) -> None:
    net = make_net()
    channels = find_channels(trace(net, example))
    state = torch.get_rng_state()
    first, again = (RandomScore(seed=1).score(net, channels) for _ in range(2))
    assert (first == again).all()
    assert (first != RandomScore(seed=2).score(net, channels)).any()
    assert torch.equal(state, torch.get_rng_state())
    assert first.shape == (channels.count,)


@pytest.mark.parametrize("name", criteria.names())
def test_settings_survive_a_round_trip_inside_a_selection(name: str) -> None:
    selection = Selection(budget=Budget(macs=0.5), criterion=criteria.get(name)(kind=name))
    plain = selection.model_dump(mode="json")
    assert plain["criterion"]["kind"] == name
    assert Selection(**plain) == selection


def test_an_unknown_criterion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(SettingError, match="unknown criterion 'magnitud'; did you mean 'magnitude'"):
        Selection(budget=Budget(macs=0.5), criterion="magnitud")
    with pytest.raises(SettingError, match="seed"):
        RandomScore(seed=-1)
    with pytest.raises(SettingError, match="norm"):
        Magnitude(norm=3)
