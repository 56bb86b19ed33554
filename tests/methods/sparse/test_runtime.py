from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import niwaki as nw
from niwaki.errors import ContractError, MeasureError, SurgeryError
from niwaki.measure import Rounds
from niwaki.methods.sparse import trial
from niwaki.records import SparseRuntimeRecord
from niwaki.surgery import CompressedRows


class Net(nn.Module):
    """Two heads, a layer that stands in two places, and one that no one calls."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3, 32, 3, padding=1)
        self.norm = nn.BatchNorm2d(32)
        self.mix = nn.Conv2d(32, 32, 1)
        self.again = self.mix
        self.grouped = nn.Conv2d(32, 32, 1, groups=4)
        self.unused = nn.Linear(32, 32)
        self.depth = nn.Conv2d(32, 1, 1)
        self.scene = nn.Linear(32, 16)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.norm(self.enter(x)).relu()
        x = self.grouped(self.again(self.mix(x).relu()))
        return {"depth": self.depth(x), "scene": self.scene(x.mean((2, 3)))}


X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    net = Net()
    for layer in (net.mix, net.grouped, net.unused, net.scene):
        flat = layer.weight.detach().view(-1)
        flat[torch.randperm(flat.numel())[: round(0.92 * flat.numel())]] = 0.0
    return net


def timed(ratio: Callable[[Any], float]) -> Callable[..., Rounds]:
    """Stand in for the clock: compressed rows are so many times faster than a form."""

    def rounds(forms: dict[str, Any], *_: object, runtimes: list[str], **__: object) -> Rounds:
        dense = {(runtime, "dense"): (10.0,) * 5 for runtime in runtimes}
        times = {**dense, ("eager", "sparse"): (10.0 / ratio(forms["dense"]),) * 5}
        return Rounds(times, times)

    return rounds


def test_answers_stay_and_the_given_model_too(net: Net) -> None:
    before = {name: each.clone() for name, each in net.state_dict().items()}
    fast, report = nw.sparse_runtime(net, X, keep="all")
    assert report.replaced == ("mix", "scene")
    assert isinstance(fast.again, CompressedRows)
    assert fast.again is fast.mix
    assert isinstance(net.mix, nn.Conv2d)
    assert net.training
    assert not fast.training
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    expected = net.eval()(X)
    for task, answer in fast(X).items():  # without no_grad: nothing in it asks for a gradient
        torch.testing.assert_close(answer, expected[task])
    assert report.difference is not None
    assert report.difference < 1e-5


def test_each_layer_is_told_with_zeros_times_and_reasons(net: Net) -> None:
    _, report = nw.sparse_runtime(net, X, keep="all", kernel="scipy")
    assert [(each.name, each.kind, each.shape) for each in report.layers] == [
        ("mix", "1x1 convolution", (32, 32)),
        ("scene", "linear", (16, 32)),
    ]
    assert all(each.sparsity == pytest.approx(0.92, abs=1e-3) and each.dense_ms > 0 for each in report.layers)
    assert report.left == {
        "grouped": "grouped or padded",
        "unused": "not run by the example",
        "depth": "0.0% zeros, below 90.0%",
    }
    assert set(report.gains) == {"eager", "onnxruntime"}
    assert (report.kernel, report.threads) == ("scipy", 1)
    assert SparseRuntimeRecord.from_json(report.to_json()) == report
    assert "mix" in str(report)


def test_only_layers_that_gain_are_replaced(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "time_models", timed(lambda form: 0.5 if isinstance(form, nn.Linear) else 2.0))
    fast, report = nw.sparse_runtime(net, X)
    assert report.replaced == ("mix",)
    assert isinstance(fast.scene, nn.Linear)
    assert report.gains["eager"].median == 2.0
    assert report.verdict == (
        "1 of 2 sparse layers replaced; the whole model against its dense form: 2.00x (2.00 to 2.00) in eager, "
        "2.00x (2.00 to 2.00) in onnxruntime."
    )


def test_a_whole_model_that_is_no_faster_stays_dense(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "time_models", timed(lambda form: 0.9 if isinstance(form, Net) else 3.0))
    fast, report = nw.sparse_runtime(net, X)
    assert not report.replaced
    assert not any(isinstance(each, CompressedRows) for each in fast.modules())
    assert report.verdict.startswith("No gain: compressed rows are no faster here (the whole model: 0.90x")
    fast, report = nw.sparse_runtime(net, X, keep="all")
    assert report.replaced
    assert report.verdict.endswith("The dense form is faster in eager, onnxruntime.")


def test_no_layer_that_gains(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "time_models", timed(lambda _: 1.0))
    _, report = nw.sparse_runtime(net, X)
    assert report.verdict == "No gain: compressed rows are no faster here; the model is dense as before."
    _, report = nw.sparse_runtime(net, X, sparsity=0.99)
    assert report.verdict.startswith("No gain: no 1x1 convolution or linear layer is sparse enough")
    assert report.left["mix"] == "92.0% zeros, below 99.0%"


def test_without_an_example_layers_are_timed_on_stand_ins(net: Net) -> None:
    fast, report = nw.sparse_runtime(net, keep="all")
    assert report.replaced == ("mix", "unused", "scene")
    assert report.gains == {}
    assert report.difference is None
    assert report.verdict == "3 of 3 sparse layers replaced; give an example to learn what the whole model gains."
    torch.testing.assert_close(fast(X)["depth"], net.eval()(X)["depth"])


def test_a_layer_that_keeps_its_tenth_to_one_weight_is_tried() -> None:
    def layer(kept: int) -> nn.Linear:
        found = nn.Linear(3, 5)
        found.weight.detach().zero_().view(-1)[:kept] = 1.0
        return found

    assert nw.sparse_runtime(layer(2), keep="all").report.replaced == ("",)  # a tenth of 15, rounded up
    assert nw.sparse_runtime(layer(3), keep="all").report.left == {"": "80.0% zeros, below 90.0%"}


def test_a_layer_alone_is_a_model(net: Net) -> None:
    fast, report = nw.sparse_runtime(net.scene, torch.rand(3, 32), keep="all")
    assert isinstance(fast, CompressedRows)
    assert report.replaced == ("",)


def test_types_and_hooks_that_compressed_rows_do_not_take(net: Net) -> None:
    net.scene.register_forward_hook(lambda *_: None)
    _, report = nw.sparse_runtime(net, keep="all")
    assert report.left["scene"] == "has hooks"
    _, report = nw.sparse_runtime(net.bfloat16(), X.bfloat16(), keep="all")
    assert report.left["mix"] == "bfloat16: compressed rows take float32 and float64"


def test_a_model_that_can_not_be_exported_is_timed_in_eager(net: Net) -> None:
    class Odd(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * float(x.sum().item() > 0)  # type: ignore[no-any-return]  # a module call

    _, report = nw.sparse_runtime(Odd(net.scene), torch.rand(3, 32), keep="all")
    assert list(report.gains) == ["eager"]
    assert any(each.startswith("not compared with ONNX Runtime") for each in report.warnings)


def test_answers_that_differ_are_refused(net: Net) -> None:
    with torch.no_grad():
        net.mix.weight[net.mix.weight != 0] = float("nan")
    with pytest.raises(SurgeryError, match="answer otherwise than the dense layers: nan of the largest"):
        nw.sparse_runtime(net, X, keep="all")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"sparsity": 0}, ContractError, r"sparsity is the share of zeros .* in \(0, 1\]; got 0"),
        ({"keep": "some"}, ContractError, "keep is one of faster, all; got 'some'"),
        ({"kernel": "onednn"}, ContractError, "kernel is one of auto, mkl, scipy; got 'onednn'"),
        ({"threads": 0}, MeasureError, "threads is at least 1; got 0"),
    ],
)
def test_wrong_options_are_refused(net: Net, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        nw.sparse_runtime(net, X, **options)


def test_other_devices_are_refused() -> None:
    with pytest.raises(ContractError, match=r"run on the CPU; the model is on meta: give model.cpu\(\)"):
        nw.sparse_runtime(nn.Linear(4, 4, device="meta"))


def test_what_was_given_is_saved_not_what_runs(net: Net, tmp_path: Path) -> None:
    fast, _ = nw.sparse_runtime(net, X, keep="all")
    with pytest.raises(SurgeryError, match="mix is a layer of compressed rows and has no state"):
        nw.save(fast, tmp_path / "m")
    nw.save(net, tmp_path / "m")
    with pytest.raises(SurgeryError, match="has no state: save or export the model that sparse_runtime was given"):
        nw.load(fast, tmp_path / "m")
