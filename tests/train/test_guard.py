"""What a training that met no numbers says, and to whom."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn

from niwaki.errors import TrainingError
from niwaki.tasks import Depth, Task
from niwaki.train import Training, fit


@pytest.mark.parametrize(("precision", "advised"), [("32-true", False), ("bf16-mixed", True)])
def test_only_mixed_precision_is_told_to_try_the_full_one(
    precision: str, advised: bool, net: nn.Module, tasks: list[Task], squares: Any
) -> None:
    bad = Task("depth", loss=lambda p, _: (p * 0).sum().sqrt(), metrics=dict(Depth().readings), primary="abs")
    with pytest.raises(TrainingError, match="the gradient of depth") as caught:
        fit(net, [tasks[0], bad], squares, training=Training(epochs=1, batch_size=4, precision=precision))
    assert ("32-true" in str(caught.value)) is advised


def test_a_parent_that_answers_no_numbers_is_named(net: nn.Module, tasks: list[Task], squares: Any) -> None:
    parent = deepcopy(net)
    with torch.no_grad():
        parent.get_parameter("depth.bias").fill_(torch.nan)
    training = Training(epochs=1, batch_size=4, precision="32-true", distill=True)
    message = r"step 0 \(epoch 0, .*\): the distance to the parent's answers for depth is nan; .*`teacher`"
    with pytest.raises(TrainingError, match=message):
        fit(net, tasks, squares, training=training, teacher=parent)
