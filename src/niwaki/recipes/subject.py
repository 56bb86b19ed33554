"""What `measure` and `export` are pointed at: a finished run, or a model in the user's own code."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from niwaki.contract import Example, import_own
from niwaki.errors import ContractError, FileError
from niwaki.files import RUN_FILES, load
from niwaki.recipes.reading import read_recipe
from niwaki.recipes.workplace import open_workplace
from niwaki.train import Silent

__all__ = ["Subject", "open_subject"]


@dataclass(frozen=True)
class Subject:
    """Models that answer to the same inputs.

    Attributes:
        models: Name to model; the last one is the one to export.
        example: The inputs: an `Example`, or a list of one for each path.
        tasks: Names of the outputs, or None where the model names its own.
    """

    models: dict[str, nn.Module]
    example: Any
    tasks: list[str] | None


def open_subject(target: str, *, weights: Path | None = None, shape: tuple[int, ...] | None = None) -> Subject:
    """Find the models a command is about.

    Args:
        target: A run directory, or ``package.module:callable`` that returns a model.
        weights: A file of `niwaki.save` to load into the model of a callable.
        shape: Shape of the input, ``(N, C, H, W)``; needed for a callable.

    Returns:
        The models, their example and the names of their outputs.

    Raises:
        ContractError: When the callable can't be imported or returns no module, or the shape is missing.
        FileError: When the directory holds no finished run, or the weights don't fit.
    """
    if Path(target).is_dir():
        return _of_run(Path(target))
    if ":" not in target:
        raise FileError(f"{target} is no run directory; give one, or a model as package.module:callable")
    if shape is None:
        raise ContractError("a model of your own needs the shape of its input, for example --input 1,3,96,128")
    dense = _build(target)
    models = {"model": dense} if weights is None else {"dense": dense, "small": load(dense, weights)}
    generator = torch.Generator().manual_seed(0)
    return Subject(models, Example(torch.rand(*shape, generator=generator)), None)


def _of_run(folder: Path) -> Subject:
    recipe, dense, small = (folder / RUN_FILES[name] for name in ("recipe", "dense", "model"))
    for file in (recipe, dense, small):
        if not file.exists():
            raise FileError(f"{folder} holds no finished run: {file.name} is missing; run or resume it first")
    place = open_workplace(read_recipe(recipe), Silent())
    models = {"dense": load(place.build(), dense), "small": load(place.build(), small)}
    return Subject(models, place.example(models["dense"]), place.names)


def _build(target: str) -> nn.Module:
    build = import_own(target)
    model = build if isinstance(build, nn.Module) else build()
    if not isinstance(model, nn.Module):
        raise ContractError(f"{target} returned {type(model).__name__}; expected a torch.nn.Module")
    return model
