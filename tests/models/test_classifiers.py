"""MobileNetV2 and the compact network: published and hand-counted sizes, small pictures, what the hidden layer sees."""

import pytest
import torch
from torch import nn

from niwaki.errors import ContractError
from niwaki.models import ConvNet, MobileNetV2


def _params(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_mobilenet_has_the_published_size() -> None:
    with torch.device("meta"):
        net = MobileNetV2(pooled=("imagenet",))._assemble({"imagenet": 1000})
    assert (_params(net.get_submodule("encoder")), _params(net)) == (2_223_872, 3_504_872)


def test_mobilenet_without_image_tasks_has_no_last_convolution() -> None:
    with torch.device("meta"):
        net = MobileNetV2()._assemble({"depth": 1})
    assert _params(net.get_submodule("encoder")) == 2_223_872 - (320 * 1280 + 2 * 1280)


@pytest.mark.parametrize(("first_stride", "output_stride", "side"), [(2, 32, 2), (2, 16, 4), (2, 8, 8), (1, 16, 8)])
def test_mobilenet_features_lie_at_the_output_stride(first_stride: int, output_stride: int, side: int) -> None:
    settings = {"width": 0.125, "first_stride": first_stride, "output_stride": output_stride}
    trunk = MobileNetV2.model_validate(settings).build({"depth": 1}).get_submodule("encoder")
    (features,) = trunk(torch.zeros(2, 3, 64, 64))
    assert tuple(features.shape[-2:]) == (side, side)


def test_dilated_mobilenet_computes_the_strided_one_on_a_denser_grid() -> None:
    strided, dilated = (
        MobileNetV2.model_validate({"width": 0.25, "output_stride": s}).build({"d": 1}) for s in (32, 8)
    )
    dilated.load_state_dict(strided.state_dict())
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    (coarse,), (fine,) = (net.eval().get_submodule("encoder")(x) for net in (strided, dilated))
    torch.testing.assert_close(fine[..., ::4, ::4], coarse, rtol=1e-4, atol=1e-5)


def test_convnet_by_hand() -> None:
    with torch.device("meta"):
        net = ConvNet(size=(36, 30), in_channels=1, depth=2)._assemble({"left": 10, "right": 7})
    convolutions = [(1, 32), (32, 32), (32, 64), (64, 64), (64, 128), (128, 128)]
    trunk = sum(a * b * 9 + 2 * b for a, b in convolutions) + (128 * 4 * 3 + 1) * 128
    assert _params(net) == trunk + 2 * (128 + 1) * 64 + (64 + 1) * 17


def test_convnet_tells_where_things_are() -> None:
    net = ConvNet(size=(32, 32), width=0.25).build({"left": 10}).eval()
    x = torch.zeros(1, 3, 32, 32)
    x[..., 8:16, 4:12] = 1
    moved = net(x.roll(16, 3))["left"] - net(x)["left"]
    assert moved.abs().max() > 1e-3


def test_convnet_refuses_pictures_of_another_size() -> None:
    with pytest.raises(ContractError, match="built for pictures of 32x32 and got 28x32"):
        ConvNet(width=0.25).build({"a": 2})(torch.zeros(1, 3, 28, 32))
