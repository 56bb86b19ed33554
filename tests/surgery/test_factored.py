"""Layers of low rank as two plain ones, against the layer with the multiplied weight."""

import pytest
import torch
from torch import nn

from niwaki.errors import SurgeryError
from niwaki.records.factoring import Factoring
from niwaki.surgery import factor, recall, replay
from niwaki.surgery.factored import fill_pair, split_layer
from niwaki.surgery.layout import Layout

CASES: list[tuple[nn.Module, tuple[int, ...]]] = [
    (nn.Linear(5, 7), (2, 3, 5)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1), (2, 4, 9)),
    (nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2)), (2, 4, 9, 13)),
    (nn.Conv2d(4, 6, 3, groups=2, padding="same", bias=False), (2, 4, 7, 6)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (2, 4, 7, 6)),
    (nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode="circular"), (2, 4, 7, 6)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="replicate"), (2, 4, 7, 6)),
    (nn.Conv3d(2, 3, (3, 2, 2), padding=1), (2, 2, 5, 4, 6)),
    (nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    (nn.ConvTranspose2d(4, 6, (3, 5), stride=(2, 3), padding=(1, 2), output_padding=(1, 2), groups=2), (2, 4, 5, 6)),
    (nn.ConvTranspose3d(2, 3, 2, stride=2, dilation=(1, 2, 1)), (1, 2, 3, 3, 3)),
]


@pytest.mark.parametrize(("layer", "shape"), CASES, ids=lambda value: str(value)[:60])
def test_two_layers_in_a_row_are_the_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(0)
    layout = Layout.of(layer)
    groups, rows, columns = layout.sizes
    u = torch.randn(groups, rows, 3, generator=generator)
    v = torch.randn(groups, 3, columns, generator=generator)
    with torch.no_grad():
        layer.get_parameter("weight").copy_(layout.weight(u @ v))
    pair = split_layer(layer, 3)
    fill_pair(pair, layout, u, v, layer.bias if isinstance(layer.bias, nn.Parameter) else None)
    x = torch.randn(shape, generator=generator)
    torch.testing.assert_close(pair(x), layer(x), atol=2e-4, rtol=1e-4)


def test_the_pair_is_as_the_layer_was() -> None:
    frozen = nn.Linear(3, 4, dtype=torch.float64).eval().requires_grad_(requires_grad=False)
    pair = split_layer(frozen, 2)
    assert not pair.training
    assert {each.dtype for each in pair.parameters()} == {torch.float64}
    assert not any(each.requires_grad for each in pair.parameters())


def test_factoring_is_remembered_and_replayed() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 2, 1))
    before = torch.get_rng_state()
    small = factor(net, Factoring(ranks={"0": 2}))
    assert torch.equal(before, torch.get_rng_state())
    assert isinstance(net[0], nn.Conv2d)
    assert [type(each) for each in small.get_submodule("0").children()] == [nn.Conv2d, nn.Conv2d]
    again = replay(net, recall(small)[0])
    assert str(again) == str(small)
    assert recall(again) == recall(small)


@pytest.mark.parametrize(("name", "found"), [("1", "a ReLU"), ("7", "no such module"), ("", "a Sequential")])
def test_what_can_not_be_split_is_refused(name: str, found: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    with pytest.raises(SurgeryError, match=f"in the model given it is {found}"):
        factor(net, Factoring(ranks={name: 2}))
