"""FPGM, BNScale and blends against slow loops."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from niwaki.errors import SettingError
from niwaki.graph import Channels, find_channels, trace
from niwaki.methods import FPGM, Blend, BNScale, CosPrune, Magnitude, StructuredPruning
from niwaki.methods.calibration import Calibration
from niwaki.methods.prune.criteria import distances_to_others
from niwaki.methods.prune.ranks import normalised_ranks
from niwaki.settings import Budget


@given(shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), data=st.data())
def test_distances_by_a_slow_loop(shape: list[int], data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, len(shape) - 1))
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    rows = [weight.select(dim, i).flatten() for i in range(shape[dim])]
    expected = [sum(float((a - b).norm()) for b in rows) for a in rows]
    assert distances_to_others(weight, dim).tolist() == pytest.approx(expected, abs=1e-5)


def test_fpgm_sums_over_the_layers_that_make_a_channel(net: nn.Module, channels: Channels) -> None:
    found = FPGM().score(net, channels)
    stem, block = (distances_to_others(net.get_parameter(f"{name}.0.weight")) for name in ("stem", "block"))
    labels = channels.tensors["stem.0.weight"][0]
    np.testing.assert_allclose(found[labels], stem + block)


def test_scales_are_summed_where_every_channel_has_one(example: Tensor) -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 2, 1))
    scale = net.get_parameter("1.weight")
    with torch.no_grad():
        scale.copy_(torch.tensor([3.0, -4.0, 0.5, 0.0, 1.0, 2.0]))
    channels = find_channels(trace(net, example))
    labels = channels.tensors["1.weight"][0]
    assert BNScale().score(net, channels)[labels].tolist() == [3.0, 4.0, 0.5, 0.0, 1.0, 2.0]
    penalty = BNScale(strength=0.1).penalty(net, channels)
    assert penalty is not None
    assert penalty.item() == pytest.approx(1.05)
    assert torch.autograd.grad(penalty, scale)[0].tolist() == pytest.approx([0.1, -0.1, 0.1, 0.0, 0.1, 0.1])
    assert BNScale(strength=0).penalty(net, channels) is None


def test_channels_without_a_norm_are_ranked_by_magnitude(net: nn.Module, channels: Channels) -> None:
    found = BNScale().score(net, channels)
    labels = channels.tensors["deep.0.weight"][0]
    assert labels is not None
    assert found[labels].tolist() == normalised_ranks(Magnitude().score(net, channels)[labels]).tolist()
    assert BNScale().notes(channels, None) == (
        "24 channels have no norm: they were ranked by their magnitude, among themselves",
    )


def test_the_penalty_stops_with_the_last_cut(net: nn.Module, example: Tensor) -> None:
    method = StructuredPruning(budget=Budget(macs=0.5), criterion=BNScale(strength=0.5), begin=0.5, round_to=2)
    model, run = method.start(net, example, steps=2)
    expected = 0.5 * sum(net.get_parameter(f"{name}.weight").abs().sum().item() for name in ("stem.1", "block.1"))
    assert run.penalty(model).item() == pytest.approx(expected, rel=1e-5)
    model = run.after_step(model, torch.optim.SGD(model.parameters(), lr=0.0))
    assert run.settled
    assert run.penalty(model).item() == 0


def test_a_blend_is_the_mean_of_ranks(net: nn.Module, channels: Channels, calibration: Calibration) -> None:
    blend = Blend(of=(CosPrune(), Magnitude()), weights=(1, 3))
    evidence = blend.gather(channels)
    assert evidence is not None
    calibration.show(net, evidence)
    alone = CosPrune().gather(channels)
    calibration.show(net, alone)
    may_go = channels.removable
    cosine, size = CosPrune().score(net, channels, alone)[may_go], Magnitude().score(net, channels)[may_go]
    expected = (normalised_ranks(cosine) + 3 * normalised_ranks(size)) / 4
    np.testing.assert_allclose(blend.score(net, channels, evidence)[may_go], expected)
    again = blend.gather(channels)
    assert again is not None
    again.load_state_dict(evidence.state_dict())
    assert (blend.score(net, channels, again) == blend.score(net, channels, evidence)).all()


def test_a_blend_of_weights_needs_no_batches(net: nn.Module, channels: Channels) -> None:
    blend = Blend(of=(Magnitude(), FPGM(), BNScale(strength=0.1)))
    assert blend.gather(channels) is None
    assert blend.score(net, channels).shape == (channels.count,)
    mixed, alone = blend.penalty(net, channels), BNScale(strength=0.1).penalty(net, channels)
    assert mixed is not None
    assert alone is not None
    assert mixed.item() == alone.item()
    assert "no norm" in blend.notes(channels, None)[0]


def test_weights_of_a_blend_fit() -> None:
    with pytest.raises(SettingError, match="2 criteria need as many weights, not 1"):
        Blend(of=(FPGM(), Magnitude()), weights=(1,))
    with pytest.raises(SettingError, match="greater than 0"):
        Blend(weights=(1, 0))
