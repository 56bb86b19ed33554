"""VGG-16 with dilated heads: the sizes of the paper's network, and the head against a slow loop."""

import pytest
import torch
from torch import Tensor, nn

from niwaki.models import VGG
from niwaki.models.vgg import DilatedHead, vgg_trunk

NYUV2 = {"segmentation": 40, "depth": 1, "normals": 3}


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_full_size_is_that_of_the_structured_pruning_paper() -> None:
    with torch.device("meta"):
        net = VGG()._assemble(NYUV2)
    trunk, heads = (_params(net.get_submodule(part)) for part in ("encoder", "heads"))
    assert trunk == 14_714_688  # VGG-16's thirteen convolutions, the published count
    fc6, fc7 = 512 * 1024 * 9 + 1024, 1024 * 1024 + 1024
    assert heads == 4 * (3 * (fc6 + fc7) + (1024 + 1) * sum(NYUV2.values()))
    assert (round((trunk + heads) / 1e6, 1), round(heads / 1e6, 1)) == (84.1, 69.4)
    convolutions = [module for module in net.get_submodule("encoder").modules() if isinstance(module, nn.Conv2d)]
    assert (len(convolutions), sum(each.out_channels for each in convolutions)) == (13, 4224)


@pytest.mark.parametrize(("output_stride", "reached"), [(8, 8), (16, 16), (32, 32)])
def test_features_lie_at_the_output_stride(output_stride: int, reached: int) -> None:
    trunk = vgg_trunk((3, 8, 8, 8, 8, 8), (1, 1, 1, 1, 1), output_stride, norm=False)
    assert tuple(trunk(torch.zeros(1, 3, 64, 96)).shape) == (1, 8, 64 // reached, 96 // reached)
    dilations = [module.dilation[0] for module in trunk.modules() if isinstance(module, nn.Conv2d)]
    assert dilations == {8: [1, 1, 1, 1, 2], 16: [1] * 5, 32: [1] * 5}[output_stride]


def test_a_head_is_the_sum_of_its_branches() -> None:
    torch.manual_seed(0)
    head = DilatedHead(2, 3, 2, (1, 3)).double()
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64)
    slow = sum(
        _branch(list(branch.parameters()), x[0], rate) for branch, rate in zip(head.branches, (1, 3), strict=True)
    )
    torch.testing.assert_close(head(x)[0], slow)


def _branch(weights: list[Tensor], x: Tensor, rate: int) -> Tensor:
    w6, b6, w7, b7, w8, b8 = weights
    _, height, width = x.shape
    answer = torch.zeros(len(b8), height, width, dtype=x.dtype)
    for row in range(height):
        for column in range(width):
            inside = b6.clone()
            for i in range(3):
                for j in range(3):
                    y, z = row + rate * (i - 1), column + rate * (j - 1)
                    if 0 <= y < height and 0 <= z < width:
                        inside += w6[:, :, i, j] @ x[:, y, z]
            inside = w7[:, :, 0, 0] @ inside.clamp(min=0) + b7
            answer[:, row, column] = w8[:, :, 0, 0] @ inside.clamp(min=0) + b8
    return answer


def test_signals_keep_their_scale_without_norms() -> None:
    net = VGG(width=0.25, output_stride=32).build({"depth": 1}, seed=3)
    features = net.get_submodule("encoder")(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert 0.2 < features.square().mean().sqrt().item() < 20


def test_width_scales_trunk_and_heads() -> None:
    net = VGG(width=0.5, head_channels=64).build({"depth": 1})
    counts = [module.out_channels for module in net.modules() if isinstance(module, nn.Conv2d)]
    assert counts == [32, 32, 64, 64, 128, 128, 128, *[256] * 6, *[32, 32, 1] * 4]
