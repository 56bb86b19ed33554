"""Predictions beside the truth, as files in the run directory: pictures, and words where a task has no picture."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from niwaki.atomic import atomic_target, write_atomically
from niwaki.contract import Example, answers_all, name_outputs, route
from niwaki.modules import device_of, evaluating
from niwaki.recipes.wording import Worded, in_words
from niwaki.recipes.workplace import Workplace

__all__ = ["draw_scenes"]


@torch.no_grad()
def draw_scenes(folder: Path, place: Workplace, models: Mapping[str, nn.Module]) -> list[Path]:
    """Draw a few inputs, their truth and what each model answers, for every task that can be drawn or put in words.

    Args:
        folder: Where they go: ``SCENE.input.png``, ``SCENE.TASK.KIND.png``, and in ``answers.json`` scene to task to
            kind to words.
        place: The opened recipe.
        models: Kind (``dense``, ``small``) to model.

    Returns:
        The files.

    Raises:
        FileError: When a file can't be written.
    """
    pictures: dict[str, Any] = {}
    words: dict[str, dict[str, dict[str, Worded]]] = {}
    for scene, (image, targets) in place.scenes():
        asked = list(targets) if isinstance(place.measured[1], dict) else place.names
        found: dict[str, Mapping[str, Tensor]] = {"truth": targets}
        found |= {kind: _answers(model, image, asked) for kind, model in models.items()}
        drawn = _drawn(place, found)
        pictures[f"{scene}.input"] = _as_picture(image)
        pictures |= {f"{scene}.{task}.{kind}": each for (task, kind), (each, _) in drawn.items() if each is not None}
        for (task, kind), (_, word) in drawn.items():
            if word is not None:
                words.setdefault(scene, {}).setdefault(task, {})[kind] = word
    files = [_write(folder / f"{name}.png", picture) for name, picture in pictures.items()]
    if words:
        write_atomically(folder / "answers.json", json.dumps(words, indent=1))
        files.append(folder / "answers.json")
    return files


def _drawn(
    place: Workplace, found: Mapping[str, Mapping[str, Tensor]]
) -> dict[tuple[str, str], tuple[Any, Worded | None]]:
    """Return picture and words by task and kind, of what there is of a scene."""
    truth = found["truth"]
    return {
        (task.name, kind): (
            task.draw(values[task.name], truth.get(task.name)),
            in_words(task, values[task.name], place.splits.classes.get(task.name, ())),
        )
        for task in place.tasks
        for kind, values in found.items()
        if task.name in values
    }


def _answers(model: nn.Module, image: Tensor, asked: list[str]) -> dict[str, Tensor]:
    """Return what a model answers for each asked task, without the batch dimension."""
    example = Example(image[None].to(device_of(model)))
    together = len(asked) > 1 and answers_all(model)
    calls = [(example, asked)] if together else [(route(model, example, task), [task]) for task in asked]
    with evaluating(model):
        outputs = [(name_outputs(call.call(model), tasks), tasks) for call, tasks in calls]
    return {task: named[task][0] for named, tasks in outputs for task in tasks}


def _as_picture(image: Tensor) -> Any:
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    return np.asarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels[..., :3])


def _write(path: Path, picture: Any) -> Path:
    with atomic_target(path) as partial:
        Image.fromarray(picture).save(partial, format="PNG")
    return path
