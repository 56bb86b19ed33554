"""Routed models: one file with all tasks, or a file for each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.errors import ContractError, ExportError
from niwaki.export import export, export_each
from niwaki.export.exporter import paths_answer
from niwaki.models import TaskNets
from niwaki.tasks import Evaluation, Regression

TASKS = ("near", "far")


class Routed(nn.Module):
    """A large shared layer, and a small head for each task."""

    def __init__(self, tasks: Sequence[str] = TASKS, *, bare: bool = False) -> None:
        super().__init__()
        self.trunk = nn.Linear(6, 500)
        self.heads = nn.ModuleDict({task: nn.Linear(500, 1) for task in tasks})
        self.bare = bare

    def forward(self, x: Tensor, task: str) -> Any:
        answer = self.heads[task](torch.relu(self.trunk(x)))
        return answer if self.bare else {task: answer}


def run(path: str | Path, feed: dict[str, Tensor]) -> dict[str, np.ndarray[Any, Any]]:
    """Answer with ONNX Runtime alone."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(None, {name: each.numpy() for name, each in feed.items()}), strict=True))


@pytest.fixture
def model() -> Routed:
    torch.manual_seed(0)
    return Routed()


def own_inputs() -> list[Example]:
    return [Example(torch.rand(2, 6), task=task) for task in TASKS]


def test_one_file_holds_each_weight_once_and_each_task_has_its_own_input_and_batch(
    model: Routed, tmp_path: Path
) -> None:
    result = export(model, own_inputs(), tmp_path / "all.onnx", tasks=TASKS)
    assert (result.inputs, result.outputs) == (("near.x", "far.x"), TASKS)
    assert (result.batch, result.checked, set(result.agreement)) == ("dynamic", True, set(TASKS))
    single = export(model, own_inputs()[0], tmp_path / "one.onnx", tasks=["near"])
    assert result.bytes < 1.4 * single.bytes
    near, far = torch.rand(3, 6), torch.rand(5, 6)
    found = run(tmp_path / "all.onnx", {"near.x": near, "far.x": far})
    for task, x in (("near", near), ("far", far)):
        np.testing.assert_allclose(found[task], model(x, task=task)[task].detach().numpy(), atol=1e-5)


def test_paths_that_hold_the_same_tensor_share_the_input(model: Routed, tmp_path: Path) -> None:
    x = torch.rand(2, 6)
    result = export(model, [Example(x, task=task) for task in TASKS], tmp_path / "all.onnx")
    assert (result.inputs, result.outputs, result.batch) == (("x",), TASKS, "dynamic")
    y = torch.rand(4, 6)
    found = run(tmp_path / "all.onnx", {"x": y})
    np.testing.assert_allclose(found["far"], model(y, task="far")["far"].detach().numpy(), atol=1e-5)


def test_a_file_for_each_task_holds_only_what_it_needs(tmp_path: Path) -> None:
    nets = TaskNets({"near": nn.Linear(6, 1), "far": nn.Linear(6, 400)})
    files = export_each(nets, own_inputs(), tmp_path / "model.onnx", tasks=TASKS)
    assert [Path(each.path).name for each in files] == ["model.near.onnx", "model.far.onnx"]
    assert [(each.inputs, each.outputs) for each in files] == [(("x",), ("near",)), (("x",), ("far",))]
    assert files[0].bytes < files[1].bytes - 4 * 6 * 300
    x = torch.rand(3, 6)
    np.testing.assert_allclose(run(files[1].path, {"x": x})["far"], nets(x)["far"].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("bare", [False, True])
def test_bare_answers_are_named_by_the_tasks(bare: bool, tmp_path: Path) -> None:
    model = Routed(bare=bare)
    assert export(model, own_inputs(), tmp_path / "all.onnx", tasks=TASKS).outputs == TASKS
    assert paths_answer(model, own_inputs(), TASKS) == [["near"], ["far"]]
    if bare:
        assert export(model, own_inputs(), tmp_path / "all.onnx").outputs == ("output0", "output1")


def test_odd_task_names_still_name_files(tmp_path: Path) -> None:
    paths = [Example(torch.rand(2, 6), task=task) for task in ("a/b", "c d")]
    files = export_each(Routed(("a/b", "c d")), paths, tmp_path / "model.onnx")
    assert [Path(each.path).name for each in files] == ["model.a_b.onnx", "model.c_d.onnx"]
    assert [each.outputs for each in files] == [("a/b",), ("c d",)]
    assert export(Routed(("a/b", "c d")), paths, tmp_path / "all.onnx").batch == "dynamic"


def test_labelled_data_by_task_or_together_is_compared_on(model: Routed, tmp_path: Path) -> None:
    tasks = [Regression(name=task) for task in TASKS]
    x, y = torch.rand(4, 6), torch.rand(4, 1)
    by_task = [{"near": (x, y), "far": (x + 1, {"far": y})}]
    together = [(x, {"near": y, "far": y})]
    by_path = [([Example(x, task="near"), Example(x + 1, task="far")], {"near": y, "far": y})]
    for data in (by_task, together, by_path):
        result = export(model, own_inputs(), tmp_path / "m.onnx", tasks=tasks, data=data, evaluation=Evaluation(tasks))
        own = (model(x, task="near")["near"] - y).abs().mean().item()
        assert result.agreement["near"].metrics["mae"] == pytest.approx((own, own), rel=1e-4)


def test_data_needs_a_task_for_each_path(model: Routed, tmp_path: Path) -> None:
    data = [(torch.rand(4, 6), {"near": torch.rand(4, 1)})]
    with pytest.raises(ContractError, match=r"2 paths with 0 tasks named can't be compared on data; name one task"):
        export(model, own_inputs(), tmp_path / "m.onnx", data=data)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_answers_otherwise_is_refused_by_the_name_of_the_task(
    model: Routed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = onnxruntime.InferenceSession

    class Wrong(plain):  # type: ignore[misc, valid-type]  # the class of another library
        def run(self, *args: Any) -> list[Any]:
            near, far = super().run(*args)
            return [near, far + 1]

    monkeypatch.setattr(onnxruntime, "InferenceSession", Wrong)
    with pytest.raises(ExportError, match="far"):
        export(model, own_inputs(), tmp_path / "all.onnx", tasks=TASKS)
    assert list(tmp_path.iterdir()) == []


def test_a_task_without_a_path_is_named(model: Routed, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="no example answers far"):
        export_each(model, own_inputs()[:1], tmp_path / "m.onnx", tasks=TASKS)
    with pytest.raises(ContractError, match="returns nothing for middle"):
        export(model, own_inputs(), tmp_path / "m.onnx", tasks=[*TASKS, "middle"])
