"""Pad, crop and mirror against a slow loop."""

from collections import Counter

import pytest
import torch

from niwaki.data import ShiftMirror
from niwaki.errors import DataError

KINDS = {"label": "classification"}


def shifted(image: torch.Tensor, down: int, right: int, *, mirrored: bool) -> torch.Tensor:
    """Move a picture pixel by pixel; what comes in from outside is black."""
    _, height, width = image.shape
    result = torch.zeros_like(image)
    for row in range(height):
        for column in range(width):
            source = (row + down, column + right)
            if 0 <= source[0] < height and 0 <= source[1] < width:
                place = width - 1 - column if mirrored else column
                result[:, row, place] = image[:, source[0], source[1]]
    return result


def test_every_shift_and_side_comes_up_and_nothing_else() -> None:
    image = torch.arange(1.0, 61.0).reshape(3, 4, 5)
    sample = (image, {"label": torch.tensor(3)})
    allowed = {
        shifted(image, down, right, mirrored=mirrored).numpy().tobytes(): (down, right, mirrored)
        for down in (-1, 0, 1)
        for right in (-1, 0, 1)
        for mirrored in (False, True)
    }
    generator = torch.Generator().manual_seed(0)
    seen = Counter[tuple[int, int, bool]]()
    for _ in range(900):
        moved, targets = ShiftMirror(pad=1).apply(sample, generator, KINDS)
        assert targets["label"] == 3
        seen[allowed[moved.numpy().tobytes()]] += 1
    assert len(seen) == 18
    assert min(seen.values()) > 25  # 50 are expected of each
    assert torch.equal(image, torch.arange(1.0, 61.0).reshape(3, 4, 5))


def test_no_border_and_no_mirror_change_nothing() -> None:
    image = torch.rand(1, 3, 3)
    moved, _ = ShiftMirror(pad=0, mirror=0.0).apply((image, {}), torch.Generator(), KINDS)
    assert torch.equal(moved, image)


def test_targets_that_would_have_to_move_are_refused() -> None:
    sample = (torch.zeros(3, 4, 4), {"depth": torch.zeros(1, 4, 4)})
    with pytest.raises(DataError, match="target 'depth' is of kind 'depth', and a shift moves pictures with class"):
        ShiftMirror().apply(sample, torch.Generator(), {"depth": "depth"})
