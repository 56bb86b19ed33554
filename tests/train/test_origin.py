"""A resume asks for the models it was begun with, where they matter."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from niwaki.errors import TrainingError
from niwaki.methods.prune import StructuredPruning
from niwaki.settings import Budget
from niwaki.tasks import Task
from niwaki.train import Training, compress, fit

HALF = StructuredPruning(budget=Budget(channels=0.5), round_to=2, floor=2)
PLAIN = Training(epochs=1, batch_size=4, precision="32-true")


def test_a_resume_asks_for_the_same_model(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, same_bits: Callable[..., bool]
) -> None:
    def work(model: nn.Module) -> nn.Module:
        return compress(model, tasks, squares, squares, method=HALF, training=PLAIN, out=tmp_path, resume=True).model

    first = work(net)
    assert same_bits(first, work(deepcopy(net)))
    other = deepcopy(net)
    with torch.no_grad():
        other.get_parameter("depth.bias").add_(1e-3)
    with pytest.raises(TrainingError, match=r"can't resume: model\.weights is"):
        work(other)

    class Another(type(net)):  # type: ignore[misc]  # the fixture's class has no name here
        pass

    renamed = Another()
    renamed.load_state_dict(net.state_dict())
    with pytest.raises(TrainingError, match=r"can't resume: model\.kind is 'Another'"):
        work(renamed)


def test_a_training_from_fresh_weights_resumes_from_other_ones(
    net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path, same_bits: Callable[..., bool]
) -> None:
    first = fit(net, tasks, squares, training=PLAIN, out=tmp_path)
    again = fit(type(net)(), tasks, squares, training=PLAIN, out=tmp_path, resume=True)
    assert same_bits(first.model, again.model)


def test_a_resume_asks_for_the_same_teacher(net: nn.Module, tasks: list[Task], squares: Any, tmp_path: Path) -> None:
    taught = PLAIN.model_copy(update={"distill": True})

    def work(model: nn.Module, teacher: nn.Module | None, folder: str) -> nn.Module:
        return fit(model, tasks, squares, training=taught, teacher=teacher, out=tmp_path / folder, resume=True).model

    work(net, net, "given")
    work(type(net)(), net, "given")  # its weights come from the checkpoint
    with pytest.raises(TrainingError, match=r"can't resume: teacher\.weights is"):
        work(net, type(net)(), "given")
    work(net, None, "default")
    with pytest.raises(TrainingError, match=r"can't resume: model\.weights is"):
        work(type(net)(), None, "default")
