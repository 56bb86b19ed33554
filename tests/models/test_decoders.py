"""Light heads on several feature maps, against plain sums."""

import torch
from torch import Tensor
from torch.nn import functional as F

from niwaki.models.decoders import FPNHead, LinearHead

CHANNELS = (4, 6, 8)


def _features() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    sides = ((12, 16), (6, 8), (3, 4))
    return [torch.randn(2, c, *side, generator=generator) for c, side in zip(CHANNELS, sides, strict=True)]


def _enlarged(x: Tensor, times: int) -> Tensor:
    return F.interpolate(x, scale_factor=times, mode="bilinear", align_corners=False)


def _pointwise(weights: tuple[Tensor, Tensor], x: Tensor) -> Tensor:
    weight, bias = weights
    return torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x) + bias[:, None, None]


def test_linear_answers_are_summed_upwards() -> None:
    head = LinearHead(CHANNELS, 3)
    maps = _features()
    parameters = list(head.parameters())
    fine, middle, coarse = (_pointwise((parameters[2 * i], parameters[2 * i + 1]), x) for i, x in enumerate(maps))
    torch.testing.assert_close(head(maps), fine + _enlarged(middle + _enlarged(coarse, 2), 2))


def test_the_pyramid_adds_each_level_to_the_coarser_one() -> None:
    head = FPNHead(CHANNELS, 8, 3).eval()
    maps = _features()
    parameters = list(head.laterals.parameters())
    fine, middle, coarse = (_pointwise((parameters[2 * i], parameters[2 * i + 1]), x) for i, x in enumerate(maps))
    expected = head.answer(head.smooth(fine + _enlarged(middle + _enlarged(coarse, 2), 2)))
    torch.testing.assert_close(head(maps), expected)


def test_maps_of_one_size_are_not_resized() -> None:
    head = LinearHead((4, 4), 1)
    x = torch.randn(1, 4, 5, 7)
    torch.testing.assert_close(head([x, x]), head.answers[0](x) + head.answers[1](x))
