"""Another point of the front that a finished run's search found: merged again, without searching again."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from niwaki.errors import FileError, SettingError
from niwaki.files import RUN_FILES, save
from niwaki.measure import measure
from niwaki.methods.share import FilterSharing
from niwaki.methods.share.selecting import Fixed
from niwaki.recipes.reading import read_recipe
from niwaki.recipes.recipe import Recipe
from niwaki.recipes.workplace import Workplace, open_workplace
from niwaki.records import Quality, Record
from niwaki.records.front import Front
from niwaki.train import NamedStage, Progress, Silent, compress, evaluate, fit
from niwaki.train.loader import open_batches

__all__ = ["PickedPoint", "pick_point", "read_front"]


@dataclass(frozen=True)
class PickedPoint:
    """A point that was taken afterwards.

    Attributes:
        point: Which one.
        values: Objective to value.
        training: What training the model has, in words.
        bytes: Bytes of the model.
        primary: Task to its primary metric.
        quality: Task to metric to value.
    """

    point: int
    values: dict[str, float]
    training: str
    bytes: int
    primary: dict[str, str]
    quality: Quality


def read_front(folder: Path | str) -> Front:
    """Return the front that a run's search found.

    Args:
        folder: A run directory with `record.json`.

    Returns:
        The front.

    Raises:
        FileError: When the run has no record yet, or it can't be read.
        SettingError: When nothing was searched, or it was searched layer by layer, where a point of one layer's front
            is nothing without the training between.
    """
    path = Path(folder) / RUN_FILES["record"]
    if not path.exists():
        raise FileError(f"{folder} holds no finished run: {path.name} is missing; run or resume it first")
    sharing = Record.from_json(path.read_bytes()).sharing
    fronts = () if sharing is None else sharing.fronts
    if len(fronts) != 1:
        found = f"{len(fronts)} searches, one after the other" if fronts else "no search for filters"
        raise SettingError(
            f"the run in {folder} holds {found}; another point can be taken of a run of filter_sharing with the "
            "selector many_objective and schedule at_once"
        )
    return fronts[0]


def pick_point(
    folder: Path | str, point: int, out: Path | str, *, train: bool = False, progress: Progress | None = None
) -> PickedPoint:
    """Merge the networks that a run began with by another point of its front.

    Args:
        folder: A run directory with `record.json`.
        point: Which point, from 0, as the report names them.
        out: The file to write; `niwaki.load` reads it with the networks that the run began with.
        train: Whether the merged networks are trained together as the run trained its own. Otherwise they are as
            merging left them, with batch norms estimated anew.
        progress: Who watches.

    Returns:
        What the point is worth, and how good the model is on the split that the run was measured on.

    Raises:
        SettingError: When there is no such front or point, or the run's method is not filter sharing alone.
        FileError: When the run is damaged, or the model can't be written.
    """
    folder, watch = Path(folder), progress or Silent()
    front = read_front(folder)
    recipe = read_recipe(folder / RUN_FILES["recipe"])
    method = _with_point(recipe, front, point)
    place = open_workplace(recipe, watch)
    parent = _parent(place, folder, watch)
    model, training = (_trained if train else _merged)(place, method, parent, watch)
    save(model, Path(out), tasks=place.tasks, example=place.example(model))
    return PickedPoint(
        point=point,
        values=dict(zip(front.objectives, front.values[point], strict=True)),
        training=training,
        bytes=measure(model, place.example(model), tasks=place.names).whole.bytes,
        primary={task.name: task.primary for task in place.tasks},
        quality=_quality(place, model, watch),
    )


def _with_point(recipe: Recipe, front: Front, point: int) -> FilterSharing:
    method, kept = recipe.method, front.kept(point)
    if not isinstance(method, FilterSharing):
        raise SettingError(
            f"the run's method is {method.kind!r}; another point can be taken where it is filter_sharing alone"
        )
    return FilterSharing(**{**method.model_dump(mode="json"), "selector": Fixed(kept=kept)})


def _parent(place: Workplace, folder: Path, progress: Progress) -> nn.Module:
    """Return the networks that were searched: fresh ones, or as the run's first training left them."""
    training = place.recipe.training
    if training is None:
        return place.build()
    stage = NamedStage(folder, "dense")
    if not stage.checkpoint.exists():
        raise FileError(f"{stage.checkpoint} is missing: it holds the networks that the run began with; run it again")
    with TemporaryDirectory() as scratch:  # resuming writes, and the run is to stay as it is
        copy = NamedStage(Path(scratch), "dense")
        shutil.copyfile(stage.checkpoint, copy.checkpoint)
        recipe, splits = place.recipe, place.splits
        fitted = fit(
            place.build(),
            place.tasks,
            splits.train,
            splits.val,
            training=training,
            balance=recipe.make_balancer(),
            out=copy,
            resume=True,
            progress=progress,
        )
    return fitted.model


def _merged(place: Workplace, method: FilterSharing, parent: nn.Module, _: Progress) -> tuple[nn.Module, str]:
    batches = open_batches(place.splits.train, place.recipe.finetune, place.tasks, shuffle=True)
    model, run = method.start(parent, place.example(parent), place.tasks, steps=0, data=batches.peek())
    return run.finish(model), "none since the networks were merged; their batch norms are estimated anew"


def _trained(place: Workplace, method: FilterSharing, parent: nn.Module, progress: Progress) -> tuple[nn.Module, str]:
    recipe, splits = place.recipe, place.splits
    result = compress(
        parent,
        place.tasks,
        splits.train,
        splits.val,
        method=method,
        training=recipe.finetune,
        balance=recipe.make_balancer(),
        test_data=splits.test,
        protocol=recipe.protocol,
        progress=progress,
    )
    return result.model, f"together for {result.fitted.steps:,} steps, as the run trained its own point"


def _quality(place: Workplace, model: nn.Module, progress: Progress) -> Quality:
    finetune = place.recipe.finetune
    return evaluate(
        model,
        place.tasks,
        place.measured[1],
        protocol=place.recipe.protocol,
        device=finetune.device,
        batch_size=finetune.batch_size,
        num_workers=finetune.num_workers,
        progress=progress,
    )
