"""Latency records: what is in them, what they leave behind; no test looks at absolute times."""

import inspect
import os
import statistics
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from niwaki.cli import inspecting
from niwaki.contract import Example
from niwaki.errors import ExportError, MeasureError, SettingError
from niwaki.export import export
from niwaki.measure import Rounds, measure_latency, time_models
from niwaki.measure.machine import device_in_words, disturbances, load_warning
from niwaki.recipes.recipe import LatencySettings


def _conv(channels: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.Dropout(), nn.Conv2d(channels, 1, 3))


class Routed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(4, 2), nn.Linear(4, 3)])
        self.seen: list[int] = []

    def forward(self, x: Tensor, task: int) -> Tensor:
        self.seen.append(task)
        answer: Tensor = self.heads[task](x)
        return answer


def test_every_model_in_both_runtimes_with_their_versions() -> None:
    models = {"dense": _conv(64), "small": _conv(8)}
    latency = measure_latency(models, torch.rand(2, 3, 32, 32), rounds=5, tasks=["depth"])
    assert [(each.model, each.runtime) for each in latency.timings] == [
        (model, runtime)
        for runtime in (f"eager torch {version('torch')}", f"onnxruntime {version('onnxruntime')}")
        for model in ("dense", "small")
    ]
    assert (latency.batch, latency.threads, latency.warmup) == (2, 1, 3)
    for each in latency.timings:
        assert 0 < each.min_ms <= each.median_ms
        assert each.rounds == 5
        assert each.spread_ms >= 0


def test_summary_is_median_fastest_and_interquartile_range(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = (5.0, 1.0, 3.0, 2.0, 4.0)
    times = Rounds({("eager", "a"): wall}, {("eager", "a"): (1.0, 1.0, 1.0, 2.0, 9.0)})
    monkeypatch.setattr(sys.modules["niwaki.measure.latency"], "time_rounds", lambda *_, **__: times)
    latency = measure_latency({"a": lambda x: x}, torch.zeros(3), runtimes=["eager"])
    (timing,) = latency.timings
    assert (timing.median_ms, timing.min_ms, timing.spread_ms, timing.cpu_ms) == (3.0, 1.0, 2.0, 1.0)
    assert timing.spread_ms == statistics.quantiles(wall, n=4, method="inclusive")[2] - 2
    assert (
        "a in eager had a processor only 93% of the time; something else runs on this machine" not in latency.warnings
    )
    assert latency.batch == 3


def test_recipes_the_command_line_and_python_take_as_many_rounds() -> None:
    defaults = {
        inspect.signature(measure_latency).parameters["rounds"].default,
        inspect.signature(inspecting.measure).parameters["rounds"].default,
        LatencySettings().rounds,
    }
    assert defaults == {30}


def test_models_are_left_as_they_were() -> None:
    model, x = _conv(8), torch.rand(2, 3, 9, 9)
    model.get_submodule("1").eval()
    modes = [module.training for module in model.modules()]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random, threads = torch.get_rng_state(), torch.get_num_threads()
    measure_latency({"m": model}, x, rounds=1, threads=2, tasks=["depth"])
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert all(parameter.grad is None for parameter in model.parameters())


def test_exported_files_and_callables_are_timed_where_they_run(tmp_path: Path) -> None:
    model, x = _conv(8), torch.rand(2, 3, 9, 9)
    export(model, x, tmp_path / "m.onnx", tasks=["depth"])
    latency = measure_latency({"file": tmp_path / "m.onnx", "call": torch.sin}, x, rounds=1)
    assert [(each.model, each.runtime.split()[0]) for each in latency.timings] == [
        ("call", "eager"),
        ("file", "onnxruntime"),
    ]


def test_a_call_runs_every_path_of_a_routed_model() -> None:
    model = Routed()
    examples = [Example(torch.rand(2, 4), task=0), Example(torch.rand(2, 4), task=1)]
    times = time_models({"m": model}, examples, runtimes=["eager", "onnxruntime"], threads=1, rounds=2, warmup=1)
    assert len(times.gains("m", "m", "onnxruntime")) == 2
    assert model.seen[:4] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("models", "how", "error", "message"),
    [
        ({}, {}, MeasureError, "nothing to time"),
        ({"f": torch.sin}, {"runtimes": ["onnxruntime"]}, MeasureError, "'f' can be timed in none of onnxruntime"),
        ({"f": Path("m.onnx")}, {"runtimes": ["eager"]}, MeasureError, "'f' can be timed in none of eager"),
        ({"f": torch.sin}, {"runtimes": ["tensorrt"]}, SettingError, "unknown runtime 'tensorrt'"),
        ({"f": torch.sin}, {"threads": 0}, MeasureError, "threads is at least 1"),
        ({"f": torch.sin}, {"runtimes": ["eager"], "rounds": 0}, MeasureError, "rounds and warmup are at least 1"),
    ],
)
def test_what_cannot_be_timed_is_refused(models: Any, how: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measure_latency(models, torch.zeros(1), **how)


def test_a_file_that_takes_other_inputs_is_refused(tmp_path: Path) -> None:
    x = torch.rand(2, 3, 9, 9)
    export(_conv(8), x, tmp_path / "m.onnx", tasks=["depth"])
    with pytest.raises(MeasureError, match=r"m.onnx takes 1 inputs, but the example has 2 tensors"):
        measure_latency({"m": tmp_path / "m.onnx"}, (x, x), runtimes=["onnxruntime"])
    with pytest.raises(MeasureError, match=r"m.onnx is one file for 2 examples"):
        measure_latency({"m": tmp_path / "m.onnx"}, [x, x], runtimes=["onnxruntime"])


def test_a_file_that_onnx_runtime_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(ExportError, match=r"ONNX Runtime refuses m\.onnx"):
        measure_latency({"m": tmp_path / "m.onnx"}, torch.zeros(1), runtimes=["onnxruntime"])


def test_waiting_for_a_processor_is_warned_of() -> None:
    wall = {("eager", "a"): (10.0, 10.0), ("eager", "b"): (10.0, 10.0)}
    cpu = {("eager", "a"): (5.0, 5.0), ("eager", "b"): (10.0, 19.0)}
    (warning,) = disturbances(Rounds(wall, cpu))
    assert "a in eager had a processor only 50% of the time" in warning


def test_a_loaded_machine_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (1000.0, 0.0, 0.0))
    warning = load_warning()
    assert warning is not None
    assert "load 1000.0" in warning
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.0, 0.0))
    assert load_warning() is None
    monkeypatch.delattr(os, "getloadavg")
    assert load_warning() is None


def test_accelerators_are_named_beside_the_processor() -> None:
    words = device_in_words([torch.device("meta"), torch.device("cpu")])
    assert words.startswith("meta meta, ")
    assert words.endswith("cores)")
