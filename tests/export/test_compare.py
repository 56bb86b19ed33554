from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.export import networks
from torch import Tensor, nn

from niwaki.errors import ExportError
from niwaki.export import convert, export, lowering
from niwaki.export.calls import FlatCall, read_call
from niwaki.export.inputs import draw_like, with_batch
from niwaki.export.runtime import FileAnswers, OwnAnswers
from niwaki.export.verdict import Trial, compare_one, judge


def trial(**changes: Any) -> Trial:
    plain = {"difference": 0.0, "own_difference": 0.0, "scale": 1.0, "differing": 0, "own_differing": 0}
    return Trial(**{**plain, "elements": 1000, "tolerance": 1e-4, **changes})


def test_one_comparison_against_numbers_by_hand() -> None:
    own = torch.tensor([2.0, -4.0, 0.0, 1.0])
    found = compare_one(own + torch.tensor([0.0, 3e-4, 5e-4, 1.0]), own, own.double() + 1e-6, 1e-4)
    assert found.scale == 4.0
    assert found.difference == pytest.approx(1.0)
    assert found.differing == 2  # 4e-4 is allowed beside an answer of 4
    assert found.counts


def test_answers_that_are_not_finite_do_not_count_but_may_agree() -> None:
    own = torch.tensor([float("nan"), float("inf"), 1.0])
    found = compare_one(own, own, own.double(), 1e-4)
    assert not found.counts
    assert found.agrees


def test_an_input_that_counts_must_agree() -> None:
    with pytest.raises(ExportError, match=r"'depth' differently: by 0\.5"):
        judge(["depth"], [[trial(difference=0.5, differing=1)]], chooses=False)


def test_a_flipped_near_tie_in_a_choosing_program_does_not_count() -> None:
    verdict = judge(["depth"], [[trial()], [trial(difference=0.5, differing=3)]], chooses=True)
    assert (verdict.counted, verdict.flipped) == (1, 1)
    assert verdict.agreement["depth"].max_difference == 0.0
    assert verdict.agreement["depth"].differing == pytest.approx(3 / 2000)


def test_a_choosing_program_is_no_excuse_for_many_elements() -> None:
    with pytest.raises(ExportError, match="differently"):
        judge(["depth"], [[trial(difference=0.5, differing=300)]], chooses=True)


def test_inputs_that_do_not_count_are_judged_by_the_model_s_own_noise() -> None:
    noisy = trial(difference=0.5, own_difference=0.5, differing=120, own_differing=100)
    verdict = judge(["depth"], [[noisy]], chooses=False)
    assert (verdict.counted, verdict.agreement["depth"].own_differing) == (0, 0.1)
    wrong = trial(difference=0.5, own_difference=0.5, differing=900, own_differing=100)
    with pytest.raises(ExportError, match=r"in 90\.0% of the elements; the model itself .* in 10\.0%"):
        judge(["depth"], [[wrong]], chooses=False)


def test_a_wrong_file_is_refused_and_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the pool's indices left as ONNX counts them: right for the first plane only
    def careless(self: Any, kernel_size: Any, *_: Any) -> Any:
        from onnxscript import opset18 as op

        return op.MaxPool(self, kernel_shape=list(kernel_size), strides=list(kernel_size))

    aten = torch.ops.aten
    table = lowering.lowerings()
    table[aten.max_pool2d_with_indices.default] = careless
    monkeypatch.setattr(convert, "lowerings", lambda: table)
    with pytest.raises(ExportError):
        export(networks.Unpooling(), torch.randn(2, 3, 16, 16), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_small_fault_in_one_task_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = FileAnswers.__call__

    def shifted(self: FileAnswers, tensors: list[Tensor]) -> list[Tensor]:
        segmentation, depth = answers(self, tensors)
        return [segmentation, depth + 0.01]

    monkeypatch.setattr(FileAnswers, "__call__", shifted)
    with pytest.raises(ExportError, match="'depth'"):
        export(networks.Unpooling(), torch.randn(2, 3, 16, 16), tmp_path / "model.onnx")
    result = export(networks.Unpooling(), torch.randn(2, 3, 16, 16), tmp_path / "model.onnx", tolerance=0.1, seed=3)
    assert result.agreement["depth"].max_difference == pytest.approx(0.01, rel=1e-3)


def test_a_near_tie_that_float64_breaks_alike_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = FileAnswers.__call__

    def rounding_otherwise(self: FileAnswers, tensors: list[Tensor]) -> list[Tensor]:
        """Break ties as a runtime does that sums in another order: the later one wins."""
        slope = torch.linspace(1.0, 1.0 + 1e-5, tensors[0].shape[-1])
        return answers(self, [tensors[0] * slope])

    class Places(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            pooled, places = nn.functional.max_pool2d(x, 2, return_indices=True)
            return nn.functional.max_unpool2d(pooled, places, [2, 2])

    tied = torch.rand(2, 3, 8, 4).repeat_interleave(2, dim=-1)
    monkeypatch.setattr(FileAnswers, "__call__", rounding_otherwise)
    result = export(Places(), torch.randn(2, 3, 8, 8), tmp_path / "model.onnx", data=[(tied, {})])
    assert (result.counted, result.tried) == (3, 4)
    assert 0.05 < result.agreement["output"].own_differing < 0.3  # half of the places of one input in four


def test_other_batch_sizes_are_tried(tmp_path: Path) -> None:
    result = export(nn.Conv2d(3, 2, 1), torch.randn(2, 3, 4, 4), tmp_path / "model.onnx")
    assert result.batches == (2, 3, 1)
    assert (result.counted, result.tried) == (3, 3)
    assert "3 inputs that count, of 3 drawn" in str(result)


def test_a_size_that_was_baked_in_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FileAnswers, "__call__", lambda self, tensors: [torch.zeros(2, 2)])
    with pytest.raises(ExportError, match="a size was baked in"):
        export(nn.Linear(3, 2), torch.rand(4, 3), tmp_path / "model.onnx")


class Noise(nn.Module):
    """The fraction of a large sum: float32 has none of its digits left, and each runtime sums in its own order."""

    def __init__(self, *, bound: bool = False) -> None:
        super().__init__()
        self.sum = nn.Linear(500, 40)
        self.bound = bound

    def forward(self, x: Tensor) -> Tensor:
        return torch.frac(self.sum(x.float() if self.bound else x) * 1e7)


def test_a_model_whose_float32_answers_are_noise_reports_shares(tmp_path: Path) -> None:
    result = export(Noise(), torch.rand(2, 500), tmp_path / "model.onnx")
    assert (result.counted, result.tried) == (0, 8)
    assert result.agreement["output"].own_differing > 0.5
    assert result.agreement["output"].differing > 0.5
    assert any("only 0 of 8 inputs count" in note for note in result.notes)


def test_without_float64_every_input_counts(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'output' differently"):
        export(Noise(bound=True), torch.rand(2, 500), tmp_path / "model.onnx")


class Error:
    """Mean absolute error, in the form of an evaluation."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def reset(self) -> None:
        self.values.clear()

    def update(self, outputs: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
        self.values.append(float((outputs["depth"] - targets["depth"]).abs().mean()))

    def compute(self) -> Mapping[str, Mapping[str, float]]:
        return {"depth": {"abs_err": sum(self.values) / len(self.values)}}


def test_metrics_on_labelled_data(tmp_path: Path) -> None:
    model = nn.Conv2d(3, 1, 1)
    data = [(torch.rand(2, 3, 4, 4), {"depth": torch.rand(2, 1, 4, 4)}) for _ in range(5)]
    result = export(model, data[0][0], tmp_path / "m.onnx", tasks=["depth"], data=data, evaluation=Error())
    own, other = result.agreement["depth"].metrics["abs_err"]
    expected = sum(float((model(x) - y["depth"]).detach().abs().mean()) for x, y in data) / 5
    assert own == pytest.approx(expected, abs=1e-6)
    assert other == pytest.approx(expected, abs=1e-5)
    assert (result.tried, result.batches) == (7, (2, 3))  # the data, then drawn inputs of another batch size
    assert "abs_err" in str(result)


def test_data_of_another_size_is_passed_over_when_the_batch_is_fixed(tmp_path: Path) -> None:
    data: list[tuple[Any, dict[str, Any]]] = [(torch.rand(5, 3), {}), (torch.rand(2, 3), {})]
    result = export(nn.Linear(3, 1), torch.rand(2, 3), tmp_path / "m.onnx", data=data, dynamic_batch=False)
    assert result.batches == (2,)


def test_a_file_that_onnx_runtime_refuses(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no protobuf at all")
    with pytest.raises(ExportError, match="ONNX Runtime refuses"):
        FileAnswers(tmp_path / "model.onnx", ["x"])


def test_a_file_that_fails_on_an_input(tmp_path: Path) -> None:
    export(nn.Linear(3, 2), torch.rand(2, 3), tmp_path / "model.onnx")
    with pytest.raises(ExportError, match=r"fails in ONNX Runtime on input \[2, 4\]"):
        FileAnswers(tmp_path / "model.onnx", ["input"])([torch.rand(2, 4)])


def test_drawn_inputs_keep_range_and_type_and_follow_the_seed() -> None:
    pixels = torch.rand(2, 3, 8, 8)
    indices = torch.randint(3, 9, (2, 5))
    drawn = draw_like([pixels, indices, torch.zeros(2, 4), torch.empty(2, 0, dtype=torch.int64)], _generator())
    assert set(drawn[0].flatten().tolist()) <= set(pixels.flatten().tolist())
    assert set(drawn[1].flatten().tolist()) <= set(indices.flatten().tolist())
    assert drawn[1].dtype == torch.int64
    assert float(drawn[2].std()) > 0.1
    assert drawn[3].shape == (2, 0)
    assert torch.equal(draw_like([pixels], _generator())[0], draw_like([pixels], _generator())[0])


def test_only_tensors_with_the_batch_are_repeated() -> None:
    class Pair(nn.Module):
        def forward(self, x: Tensor, table: Tensor) -> Tensor:
            return x @ table

    call = read_call(Pair(), __import__("niwaki").Example(torch.rand(2, 3), torch.rand(3, 4)))
    assert call.axes == ("batch", "")
    assert [tuple(each.shape) for each in with_batch(call, 5)] == [(5, 3), (3, 4)]


def test_own_answers_in_both_precisions() -> None:
    model = nn.Linear(3, 2).eval()
    call = read_call(model, __import__("niwaki").Example(torch.rand(2, 3)))
    answers = OwnAnswers(FlatCall(model, call))
    own, exact = answers(call.tensors), answers.exact(call.tensors)
    assert exact is not None
    assert (own[0].dtype, exact[0].dtype) == (torch.float32, torch.float64)
    expected = call.tensors[0].double() @ model.weight.double().T + model.bias.double()
    assert torch.allclose(exact[0], expected, atol=1e-14)


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)
