"""What is trained: a model with everything that has to follow it when a method changes its shape."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from niwaki.errors import SurgeryError
from niwaki.methods.base import Run
from niwaki.surgery import follow_ema
from niwaki.train.averaging import Average
from niwaki.train.engine import Engine
from niwaki.train.optimizer import make_optimizer
from niwaki.train.settings import Training

__all__ = ["Trainee", "shapes"]


class Trainee:
    """A plain model, the run of its method, its optimizer, its averaged copy and its compiled forward pass.

    The model stays plain: precision, device and compilation wrap the forward pass beside it. When a method returns
    another model, its own surgery has moved the optimizer along; `adopt` brings the rest.

    Args:
        model: The model that `Method.start` returned.
        run: Its run.
        engine: Device and precision.
        training: Settings.

    Attributes:
        notes: What a reader of the record should know, such as an averaged copy that began again.
    """

    def __init__(self, model: nn.Module, run: Run, engine: Engine, training: Training) -> None:
        self.model = engine.place(model)
        self.run = run
        self.engine = engine
        groups = run.parameter_groups(model, lr=training.lr, weight_decay=training.weight_decay)
        self.optimizer: Optimizer = make_optimizer(groups, training)
        self.average = Average(model, training.ema) if training.ema is not None else None
        self.forward: Callable[..., Any] = engine.wrap(model, compiled=True)
        self.notes: list[str] = []
        self._begun = run.begun

    @property
    def validated(self) -> nn.Module:
        """The model that is validated and kept: the averaged copy, where there is one."""
        return self.average.model if self.average is not None else self.model

    def parameters(self) -> list[Tensor]:
        """Return what the optimizer steps, group by group."""
        return [each for group in self.optimizer.param_groups for each in group["params"]]

    def adopt(self, model: nn.Module) -> bool:
        """Go on with the model a method returned.

        Args:
            model: The same model, or another one that the optimizer has been moved to.

        Returns:
            Whether it is another one.
        """
        if model is self.model:
            return False
        self._follow(model)
        self.model = model
        self.forward = self.engine.wrap(model, compiled=True)
        return True

    def _follow(self, model: nn.Module) -> None:
        """Bring the averaged copy along, or begin it again where the method did more than cut."""
        fresh, self._begun = self.run.begun != self._begun, self.run.begun
        if self.average is None:
            return
        if fresh:  # an average with weights that were thrown away is no average of the new ones
            self.average.restart(model)
            return
        try:
            self.average.model = follow_ema(self.average.model, model).requires_grad_(requires_grad=False)
        except SurgeryError:
            self.average.restart(model)
            self.notes.append("the averaged copy began again where the method replaced layers")


def shapes(model: nn.Module) -> dict[str, torch.Size]:
    """Return the shape of every parameter and buffer by name."""
    named = [*model.named_parameters(), *model.named_buffers()]
    return {name: tensor.shape for name, tensor in named}
