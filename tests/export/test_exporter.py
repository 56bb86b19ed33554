import copy
import random
from collections import UserDict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tests.export import networks
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.errors import ContractError, ExportError, FileError
from niwaki.export import ExportResult, export, export_each, exporter, storing


def run(path: Path | str, *inputs: Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """Answer with ONNX Runtime alone, without a line of niwaki."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    feed = {each.name: value.numpy() for each, value in zip(session.get_inputs(), inputs, strict=True)}
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def test_unpooling_answers_as_the_model_at_any_batch_size(tmp_path: Path) -> None:
    model = networks.Unpooling().eval()
    path = tmp_path / "model.onnx"
    result = export(model, torch.randn(2, 3, 16, 24), path)
    assert (result.batch, result.outputs, result.inputs) == ("dynamic", ("segmentation", "depth"), ("x",))
    for batch in (1, 2, 5):
        x = torch.randn(batch, 3, 16, 24)
        found = run(path, x)
        for name, expected in model(x).items():
            np.testing.assert_allclose(found[name], expected.detach().numpy(), atol=1e-5)


def test_resizing_and_pools_from_a_batch_of_one(tmp_path: Path) -> None:
    result = export(networks.Resizing(), torch.rand(1, 3, 16, 16), tmp_path / "model.onnx")
    assert result.batch == "dynamic"
    assert result.counted >= 3
    assert result.max_difference < 1e-5
    assert set(result.agreement) == {
        *("aligned", "loose", "odd", "nearest", "average", "grid", "peak", "shuffled"),
    }


def test_norms_and_a_tuple_named_by_tasks(tmp_path: Path) -> None:
    model = networks.Norms()
    with torch.no_grad():
        model(torch.randn(4, 4, 8, 8))  # running statistics that are not 0 and 1
    result = export(model, torch.randn(2, 4, 8, 8), tmp_path / "model.onnx", tasks=["up", "code"])
    assert result.outputs == ("up", "code")
    assert result.max_difference < 1e-5


def test_several_inputs_by_position_list_and_keyword(tmp_path: Path) -> None:
    model = networks.SeveralInputs().eval()
    example = Example(
        torch.randn(2, 3, 4, 4), [torch.randn(2, 2, 4, 4)], scale=torch.rand(2, 1, 1, 1), flip=True, task=2
    )
    result = export(model, example, tmp_path / "model.onnx", tasks=["depth"])
    assert result.inputs == ("image", "others.0", "scale")
    image, other, scale = torch.randn(3, 3, 4, 4), torch.randn(3, 2, 4, 4), torch.rand(3, 1, 1, 1)
    expected = model(image, [other], scale=scale, flip=True, task=2)
    np.testing.assert_allclose(
        run(tmp_path / "model.onnx", image, other, scale)["depth"], expected.detach().numpy(), atol=1e-5
    )


def test_names_that_collide_and_outputs_that_are_one_tensor(tmp_path: Path) -> None:
    model = networks.Awkward().eval()
    result = export(model, torch.randn(2, 3, 4, 4), tmp_path / "model.onnx")
    assert result.inputs == ("x_input",)
    assert result.outputs[:7] == ("x", "relu", "conv.weight", "again", "input", "weight", "classes")
    assert result.outputs[7:] == ("levels.0", "levels.1.deep")
    x = torch.randn(3, 3, 4, 4)
    expected, found = model(x), run(tmp_path / "model.onnx", x)
    for name in result.outputs[:7]:
        np.testing.assert_allclose(found[name], expected[name].detach().numpy(), atol=1e-5)
    onnx.checker.check_model(str(tmp_path / "model.onnx"), full_check=True)


def test_the_file_is_one_with_readable_names(tmp_path: Path) -> None:
    result = export(nn.Sequential(nn.Conv2d(3, 2, 1)), torch.randn(2, 3, 4, 4), tmp_path / "model.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    assert result.bytes == (tmp_path / "model.onnx").stat().st_size
    graph = onnx.load(tmp_path / "model.onnx").graph
    assert {each.name for each in graph.initializer} == {"0.weight", "0.bias"}
    dims = [
        graph.input[0].type.tensor_type.shape.dim[0].dim_param,
        graph.output[0].type.tensor_type.shape.dim[0].dim_param,
    ]
    assert dims == ["batch", "batch"]


def test_the_model_is_left_as_found(tmp_path: Path) -> None:
    model = networks.Unpooling().train()
    model.deep.requires_grad_(requires_grad=False)
    model(torch.randn(2, 3, 16, 16))["depth"].sum().backward()
    before = copy.deepcopy(model)
    grads = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
    torch_state, python_state = torch.get_rng_state(), random.getstate()
    export(model, torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)), tmp_path / "model.onnx")
    assert model.training
    assert bool((torch.get_rng_state() == torch_state).all())
    assert random.getstate() == python_state
    for (name, one), (_, other) in zip(model.state_dict().items(), before.state_dict().items(), strict=True):
        assert torch.equal(one, other), name
    for one, other, grad in zip(model.parameters(), before.parameters(), grads, strict=True):
        assert one.requires_grad == other.requires_grad
        assert (one.grad is None) == (grad is None)
        assert one.grad is None or grad is None or torch.equal(one.grad, grad)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_dropout_and_batch_statistics_are_those_of_evaluation(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.9)).train()
    export(model, torch.randn(4, 3, 4, 4), tmp_path / "model.onnx")
    x = torch.randn(2, 3, 4, 4)
    expected = copy.deepcopy(model).eval()(x)
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x)["output"], expected.detach().numpy(), atol=1e-5)


def test_nothing_is_printed_logged_or_warned(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    export(networks.Unpooling(), torch.randn(2, 3, 16, 16), tmp_path / "model.onnx")
    captured = capfd.readouterr()
    assert (captured.out, captured.err, caplog.text) == ("", "", "")


def test_an_asked_opset_and_a_fixed_batch(tmp_path: Path) -> None:
    result = export(nn.Conv2d(3, 2, 1), torch.randn(2, 3, 4, 4), tmp_path / "m.onnx", opset=18, dynamic_batch=False)
    assert (result.opset, result.batch, result.batch_reason, result.batches) == (18, "fixed", "asked for", (2,))
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 18


def test_a_model_that_pins_its_batch_is_exported_with_a_fixed_one_and_the_reason(tmp_path: Path) -> None:
    model = networks.Applying(lambda x: x.reshape(2, -1) * x.reshape(2, -1).sum(1, keepdim=True))
    result = export(model, torch.randn(2, 3, 4), tmp_path / "model.onnx")
    assert result.batch == "fixed"
    assert "batch for the constant 2" in result.batch_reason


def test_an_input_without_dimensions_has_no_batch(tmp_path: Path) -> None:
    result = export(networks.Applying(lambda x: x * 2), torch.tensor(1.5), tmp_path / "model.onnx")
    assert (result.batch, result.batch_reason) == ("fixed", "no input tensor has a batch dimension")


def test_a_failed_capture_names_the_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Sequential(networks.Reacting()))
    with pytest.raises(ExportError, match=r"module '1\.0' \(Reacting\)"):
        export(model, torch.randn(2, 3, 4, 4), tmp_path / "model.onnx")


def test_a_failed_capture_in_the_root_says_so(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="the model's own forward"):
        export(networks.Reacting(), torch.randn(2, 3), tmp_path / "model.onnx")


def test_an_operator_without_translation_is_named_with_its_module(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 3), networks.Applying(torch.special.bessel_j0))
    with pytest.raises(ExportError, match=r"operator \S*bessel_j0 in module '1' \(Applying\)"):
        export(model, torch.randn(2, 3), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_when_the_export_fails(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"older")
    with pytest.raises(ExportError):
        export(nn.Sequential(networks.Applying(torch.special.bessel_j0)), torch.randn(2, 3), path)
    assert path.read_bytes() == b"older"
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]


def test_two_answers_of_one_task_need_two_files(tmp_path: Path) -> None:
    model = networks.SeveralInputs().eval()
    paths = [Example(torch.randn(2, 3, 4, 4), [], task=task) for task in (0, 5)]
    with pytest.raises(ContractError, match="two examples answer 'depth'"):
        export(model, paths, tmp_path / "model.onnx", tasks=["depth"])
    results = export_each(model, paths, tmp_path / "model.onnx", tasks=["depth"])
    assert [Path(each.path).name for each in results] == ["model.0.onnx", "model.1.onnx"]
    x = torch.randn(1, 3, 4, 4)
    answers = [run(each.path, x)["depth"] for each in results]
    np.testing.assert_allclose(answers[1] - answers[0], np.full_like(answers[0], 5), atol=1e-5)


@pytest.mark.parametrize(
    ("model", "example", "tasks", "message"),
    [
        (nn.Linear(3, 2), Example(torch.rand(1, 3), torch.rand(1)), None, "does not fit Linear.forward"),
        (nn.Linear(3, 2), torch.rand(1, 3), ["a", "b"], "one tensor for 2 tasks"),
        (networks.Unpooling(), torch.rand(2, 3, 16, 16), ["normals"], "returns nothing for normals"),
        (networks.Applying(lambda x: {"a": None}), torch.rand(2), None, "no tensor"),  # type: ignore[arg-type, return-value]
    ],
)
def test_misuse_is_explained(tmp_path: Path, model: nn.Module, example: Any, tasks: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        export(model, example, tmp_path / "model.onnx", tasks=tasks)


def test_a_wrapped_model_is_exported_as_what_is_inside(tmp_path: Path) -> None:
    model = nn.DataParallel(nn.Conv2d(3, 2, 1))
    result = export(model, torch.rand(2, 3, 4, 4), tmp_path / "model.onnx")
    assert result.inputs == ("input",)


def test_numpy_values_and_mappings_of_tensors_find_their_places(tmp_path: Path) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, views: Any, scale: Any) -> Tensor:
            answer: Tensor = self.layer(views["left"]) * float(scale[0]) + views["right"]
            return answer

    views = UserDict(left=torch.rand(4, 3), right=torch.rand(4, 2))
    result = export(Mixed(), Example(views, scale=np.array([2.0])), tmp_path / "model.onnx")
    assert result.inputs == ("views.left", "views.right")


def test_a_compiled_model_is_exported_as_it_was_before(tmp_path: Path) -> None:
    model = torch.compile(nn.Sequential(nn.Conv2d(3, 2, 1)), backend="eager")
    assert isinstance(model, nn.Module)
    export(model, torch.randn(2, 3, 4, 4), tmp_path / "model.onnx")
    assert {each.name for each in onnx.load(tmp_path / "model.onnx").graph.initializer} == {"0.weight", "0.bias"}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_other_precisions(tmp_path: Path, dtype: torch.dtype) -> None:
    result = export(nn.Linear(3, 2).to(dtype), torch.rand(2, 3).to(dtype), tmp_path / "model.onnx")
    assert result.counted == 3
    assert (
        run(tmp_path / "model.onnx", torch.rand(4, 3).to(dtype))["output"].dtype
        == torch.empty(0, dtype=dtype).numpy().dtype
    )


def test_bfloat16_is_refused_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"export model\.float\(\)"):
        export(nn.Linear(2, 2).bfloat16(), torch.rand(2, 2).bfloat16(), tmp_path / "model.onnx")


def test_a_model_that_can_not_be_copied(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    model.lock = __import__("threading").Lock()
    with pytest.raises(ExportError, match="can't be copied"):
        export(model, torch.rand(2, 2), tmp_path / "model.onnx")


def test_a_folder_that_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="can't write"):
        export(nn.Linear(2, 2), torch.rand(2, 2), tmp_path / "file" / "model.onnx")


def test_a_disk_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporter, "write_program", fail)
    with pytest.raises(FileError, match=r"can't write .*model\.onnx: No space left on device"):
        export(nn.Linear(2, 2), torch.rand(2, 2), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_unchecked_export_says_so_and_the_result_is_plain_data(tmp_path: Path) -> None:
    result = export(nn.Linear(2, 2), torch.rand(2, 2), tmp_path / "model.onnx", check=False)
    assert (result.checked, result.counted, result.agreement) == (False, 0, {})
    assert "not compared" in str(result)
    assert ExportResult.from_json(result.to_json()) == result


def test_weights_beyond_the_limit_go_into_a_file_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storing, "_PROTOBUF_LIMIT", 10)
    model = nn.Linear(64, 64).eval()
    result = export(model, torch.rand(2, 64), tmp_path / "model.onnx")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.onnx", "model.onnx.data"]
    assert result.bytes == sum(each.stat().st_size for each in tmp_path.iterdir())
    x = torch.rand(3, 64)
    np.testing.assert_allclose(run(tmp_path / "model.onnx", x)["output"], model(x).detach().numpy(), atol=1e-5)


def test_what_is_no_model_and_a_text_for_tasks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="instance of torch.nn.Module; got function"):
        export(lambda x: x, torch.zeros(1, 3), tmp_path / "x.onnx")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ContractError, match=r"write tasks=\['depth'\]"):
        export(nn.Linear(3, 1), torch.zeros(1, 3), tmp_path / "x.onnx", tasks="depth")
    assert not list(tmp_path.iterdir())


def test_a_torch_that_translates_nothing_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.onnx, "export", lambda *_, **__: None)
    with pytest.raises(ExportError, match="gave no program; use a torch version that Niwaki was run on"):
        export(nn.Linear(2, 2).eval(), torch.zeros(1, 2), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
