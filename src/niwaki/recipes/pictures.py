"""Predictions beside the truth, as PNG files in the run directory."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from niwaki.atomic import atomic_target
from niwaki.contract import name_outputs
from niwaki.modules import device_of, evaluating
from niwaki.recipes.workplace import Workplace

__all__ = ["draw_scenes"]


@torch.no_grad()
def draw_scenes(folder: Path, place: Workplace, models: Mapping[str, nn.Module]) -> list[Path]:
    """Draw a few inputs, their truth and what each model answers, for every task that can be drawn.

    Args:
        folder: Where the pictures go: ``SCENE.input.png`` and ``SCENE.TASK.KIND.png``.
        place: The opened recipe.
        models: Kind (``dense``, ``small``) to model.

    Returns:
        The files.

    Raises:
        FileError: When a picture can't be written.
    """
    drawn: dict[str, Any] = {}
    for number, (image, targets) in enumerate(place.scenes()):
        drawn[f"{number}.input"] = _as_picture(image)
        drawn |= _truth(number, place, targets)
        for kind, model in models.items():
            answers = _answers(f"{number}", place, _answer(model, image, place), targets)
            drawn |= {f"{name}.{kind}": picture for name, picture in answers.items()}
    return [_write(folder / f"{name}.png", picture) for name, picture in drawn.items() if picture is not None]


def _answer(model: nn.Module, image: Tensor, place: Workplace) -> dict[str, Any]:
    with evaluating(model):
        return name_outputs(model(image[None].to(device_of(model))), [task.name for task in place.tasks])


def _truth(number: int, place: Workplace, targets: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        f"{number}.{task.name}.truth": task.draw(targets[task.name]) for task in place.tasks if task.name in targets
    }


def _answers(scene: str, place: Workplace, outputs: Mapping[str, Any], targets: Mapping[str, Any]) -> dict[str, Any]:
    return {f"{scene}.{task.name}": task.draw(outputs[task.name][0], targets.get(task.name)) for task in place.tasks}


def _as_picture(image: Tensor) -> Any:
    return np.asarray((image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0))


def _write(path: Path, picture: Any) -> Path:
    with atomic_target(path) as partial:
        Image.fromarray(picture).save(partial, format="PNG")
    return path
