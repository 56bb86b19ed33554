import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from niwaki.export import export
from niwaki.quiet import quiet

GEOMETRIES: dict[str, dict[str, Any]] = {
    "plain": {"kernel_size": 2},
    "padded": {"kernel_size": 3, "stride": 2, "padding": 1},
    "overlapping": {"kernel_size": 3, "stride": 1, "padding": 1},
    "dilated": {"kernel_size": 2, "stride": 2, "dilation": 2},
    "oblong": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0)},
    "ceiling": {"kernel_size": 2, "ceil_mode": True},
}


class Rounds(nn.Module):
    """Pools of every geometry, their indices, and the values put back where they came from."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        found = {}
        for name, geometry in GEOMETRIES.items():
            y, indices = nn.functional.max_pool2d(x, **geometry, return_indices=True)
            found[f"{name}_values"], found[f"{name}_indices"] = y, indices
            if name in ("plain", "ceiling"):
                size = list(x.shape[-2:])
                found[f"{name}_back"] = nn.functional.max_unpool2d(y, indices, [2, 2], output_size=size)
        return found


def test_indices_are_torch_s_in_every_plane(tmp_path: Path) -> None:
    model = Rounds()
    export(model, torch.randn(2, 3, 9, 13), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    names = [each.name for each in session.get_outputs()]
    for batch in (1, 4):
        x = torch.randn(batch, 3, 9, 13)
        found = dict(zip(names, session.run(None, {"x": x.numpy()}), strict=True))
        for name, expected in model(x).items():
            assert torch.equal(torch.from_numpy(found[name]), expected), name


def test_a_single_image_without_batch(tmp_path: Path) -> None:
    result = export(Rounds(), torch.randn(3, 8, 12), tmp_path / "model.onnx", dynamic_batch=False)
    assert result.max_difference == 0.0


def test_quiet_puts_everything_back(capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("torch.onnx")
    before = (logger.disabled, logger.level)
    with quiet():
        sys.stdout.write("chatter")
        warnings.warn("chatter", stacklevel=1)
        logging.getLogger("torch.onnx").error("chatter")
        assert logger.disabled
    assert (logger.disabled, logger.level) == before
    assert capsys.readouterr().out == ""
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
