"""Weights as matrices: there and back, and the axes where the spatial factorisation wants them."""

import pytest
import torch
from torch import nn

from niwaki.surgery.layout import Layout

LAYERS = [
    nn.Linear(5, 7),
    nn.Conv1d(4, 6, 3),
    nn.Conv2d(4, 6, (3, 5)),
    nn.Conv2d(4, 6, 3, groups=2),
    nn.Conv2d(6, 12, 3, groups=6),
    nn.Conv3d(2, 3, (3, 5, 2)),
    nn.ConvTranspose1d(4, 6, 3),
    nn.ConvTranspose2d(4, 6, (3, 5), groups=2),
    nn.ConvTranspose3d(2, 3, (1, 2, 3)),
]


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_there_and_back(layer: nn.Module) -> None:
    weight = layer.get_parameter("weight").detach()
    layout = Layout.of(layer)
    matrix = layout.matrix(weight)
    assert tuple(matrix.shape) == layout.sizes
    assert torch.equal(layout.weight(matrix), weight)
    assert layout.full_rank == min(matrix.shape[1:])


def test_rows_are_input_channels_and_heights() -> None:
    weight = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    matrix = Layout((2, 3, 4, 5)).matrix(weight)
    for out in range(2):
        for channel in range(3):
            for y in range(4):
                for x in range(5):
                    assert matrix[0, channel * 4 + y, out * 5 + x] == weight[out, channel, y, x]


def test_a_transposed_weight_gives_the_same_matrix() -> None:
    weight = torch.randn(3, 2, 4, 5)
    assert torch.equal(
        Layout((3, 2, 4, 5), transposed=True).matrix(weight), Layout((2, 3, 4, 5)).matrix(weight.transpose(0, 1))
    )


def test_depthwise_reads_one_channel_of_several() -> None:
    assert Layout.of(nn.Conv2d(6, 12, 3, groups=6)).depthwise
    assert not Layout.of(nn.Conv2d(1, 12, 3)).depthwise
    assert not Layout.of(nn.Conv2d(6, 6, 3, groups=3)).depthwise
