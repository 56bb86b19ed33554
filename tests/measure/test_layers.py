"""Single layers: described from a model's channels, run in a runtime, their times kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from niwaki.graph import Layer, find_channels, planned_layers, trace
from niwaki.measure import LayerTable, time_layers
from niwaki.measure.layers import TIMED_IN, onnx_of

LAYERS: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
    "conv": (nn.Conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 9)),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=2, bias=False), (1, 4, 9, 9)),
    "same": (nn.Conv2d(4, 6, 3, padding="same"), (1, 4, 9, 9)),
    "depthwise": (nn.Conv2d(4, 8, 3, groups=4), (1, 4, 9, 9)),
    "grouped": (nn.Conv2d(4, 6, 3, groups=2), (1, 4, 9, 9)),
    "conv1d": (nn.Conv1d(4, 6, 3), (1, 4, 9)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1), (1, 4, 5, 5)),
    "transposed, depthwise": (nn.ConvTranspose2d(4, 4, 3, groups=4), (1, 4, 5, 5)),
    "linear": (nn.Linear(4, 6), (2, 5, 4)),
    "linear, no bias": (nn.Linear(4, 6, bias=False), (2, 4)),
}


def described(module: nn.Module, shape: tuple[int, ...]) -> Layer:
    channels = find_channels(trace(module, torch.zeros(shape)))
    (layer,) = planned_layers(channels, np.ones(channels.count, dtype=bool))
    return layer


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_written_alone_returns_what_the_module_returns(name: str) -> None:
    module, shape = LAYERS[name]
    layer = described(module, shape)
    opened = onnxruntime.InferenceSession(onnx_of(layer), providers=["CPUExecutionProvider"])
    (answer,) = opened.run(None, {"x": np.zeros(layer.input, dtype=np.float32)})
    assert answer.shape == module(torch.zeros(shape)).shape


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_runs_in_every_runtime(name: str) -> None:
    layer = described(*LAYERS[name])
    for runtime in TIMED_IN:
        (took,) = time_layers([layer], runtime)
        assert took > 0


def test_layers_shrink_with_what_stays() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 2, 1))
    channels = find_channels(trace(net, torch.zeros(1, 3, 5, 5)))
    keep = np.ones(channels.count, dtype=bool)
    keep[channels.groups[0].classes[5:]] = False
    found = planned_layers(channels, keep)
    assert [(each.input[1], each.weight[:2], each.groups) for each in found] == [
        (3, (5, 3), 1),
        (5, (5, 1), 5),
        (5, (2, 5), 1),
    ]


def test_times_are_kept_between_tables_and_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    asked: list[int] = []

    def clock(layers: Sequence[Layer]) -> list[float]:
        asked.append(len(layers))
        return [float(each.work) for each in layers]

    one, other = (Layer("linear", (1, n), (2, n), bias=False) for n in (3, 4))
    assert LayerTable("eager", tmp_path, clock).milliseconds([one, one]) == [6, 6]
    assert LayerTable("eager", tmp_path, clock).milliseconds([one, other]) == [6, 8]
    assert asked == [1, 1]
    (file,) = tmp_path.glob("*.json")
    assert len(json.loads(file.read_text())["milliseconds"]) == 2
    file.write_text("{half a fi")
    assert LayerTable("eager", tmp_path, clock).milliseconds([one]) == [6]
    assert asked == [1, 1, 1]


def test_each_runtime_has_a_table_of_its_own(tmp_path: Path) -> None:
    layer = Layer("linear", (1, 3), (2, 3), bias=False)
    for runtime, took in (("eager", 1.0), ("onnxruntime", 2.0)):
        assert LayerTable(runtime, tmp_path, lambda _, took=took: [took]).milliseconds([layer]) == [took]  # type: ignore[misc]  # a default binds it
    assert len(list(tmp_path.glob("*.json"))) == 2
    assert LayerTable.covers("onnxruntime")
    assert not LayerTable.covers("abacus")
