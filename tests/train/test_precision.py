"""What a precision leaves to the caller: gradients of one task at a time."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from niwaki.errors import TrainingError
from niwaki.methods.base import Method, Run, Stage
from niwaki.tasks import Depth, Task
from niwaki.train import Training, fit
from niwaki.train.engine import Engine

MIXED = Training(epochs=1, batch_size=4, precision="bf16-mixed")


class NormsRun(Run):
    """Takes each loss's own gradient while its graph is alive."""

    def __init__(self, norms: list[dict[str, float]]) -> None:
        self.norms = norms

    def before_backward(self, model: nn.Module, losses: Mapping[str, Tensor]) -> None:
        trunk = model.get_parameter("trunk.0.weight")
        found = {task: torch.autograd.grad(loss, [trunk], retain_graph=True)[0] for task, loss in losses.items()}
        self.norms.append({task: grad.norm().item() for task, grad in found.items()})


class Norms(Method):
    """A method that looks at the tasks' gradients."""

    stage: ClassVar[Stage] = "sparsify"
    kind: str = "norms"
    norms: Any = None

    def start(self, model: nn.Module, *_: Any, **__: Any) -> tuple[nn.Module, Run]:
        return deepcopy(model), NormsRun(self.norms)


def test_a_method_takes_gradients_task_by_task(
    net: nn.Module, tasks: list[Task], squares: Any, same_bits: Callable[[nn.Module, nn.Module], bool]
) -> None:
    norms: list[dict[str, float]] = []
    looked = fit(net, tasks, squares, training=MIXED, method=Norms.model_construct(norms=norms))
    assert len(norms) == looked.steps == 3
    assert all(value > 0 for step in norms for value in (step["segmentation"], step["depth"]))
    assert same_bits(looked.model, fit(net, tasks, squares, training=MIXED).model)


def test_a_gradient_that_is_no_number_is_named(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    bad = Task("depth", loss=lambda p, _: (p * 0).sum().sqrt(), metrics=dict(Depth().readings), primary="abs")
    with pytest.raises(TrainingError, match=r"the gradient of depth \(at depth\.bias\) is nan .* precision '32-true'"):
        fit(net, [tasks[0], bad], squares, training=MIXED)


def test_the_forward_pass_is_autocasts(net: nn.Module, squares: Any) -> None:
    x = squares[0][0][None]
    net.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = net(x.bfloat16())
    found = Engine("cpu", "bf16-mixed").wrap(net)(x)
    for task, answer in expected.items():
        assert found[task].dtype == torch.float32
        assert torch.equal(found[task], answer.float())
