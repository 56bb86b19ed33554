"""What a recipe names, opened and built: data, tasks, network, example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Example
from niwaki.data import Splits
from niwaki.errors import ContractError
from niwaki.recipes.recipe import Recipe
from niwaki.tasks import Task, build_tasks
from niwaki.train import Progress

__all__ = ["Workplace", "open_workplace"]


@dataclass(frozen=True)
class Workplace:
    """The parts of a run.

    Attributes:
        recipe: The recipe they come from.
        splits: The data.
        tasks: The tasks.
        example: One sample as a batch of one.
    """

    recipe: Recipe
    splits: Splits
    tasks: tuple[Task, ...]
    example: Example

    @property
    def measured(self) -> tuple[str, Any]:
        """The split that results are measured on, and its name: the test split where there is one."""
        return ("validation", self.splits.val) if self.splits.test is None else ("test", self.splits.test)

    def build(self) -> nn.Module:
        """Return the dense network with fresh weights; the same weights each time."""
        _, targets = self.splits.val[0]
        outputs = {task.name: _channels(task, targets) for task in self.tasks}
        return self.recipe.model.build(outputs, seed=self.recipe.seed)

    def batch(self, size: int) -> Example:
        """Return an input of random numbers with a batch of a size, to time models with."""
        shape = self.example.args[0].shape[1:]
        return Example(torch.rand(size, *shape, generator=torch.Generator().manual_seed(self.recipe.seed)))

    def scenes(self) -> list[tuple[Tensor, dict[str, Tensor]]]:
        """Return the samples that are drawn, spread over the measured split."""
        _, split = self.measured
        count = min(self.recipe.pictures, len(split))
        return [split[(index * len(split)) // count] for index in range(count)]


def open_workplace(recipe: Recipe, progress: Progress) -> Workplace:
    """Open the data of a recipe and build its tasks.

    Args:
        recipe: The recipe.
        progress: Who watches data being made.

    Returns:
        Its parts.

    Raises:
        DataError: When the data is not there or not as its layout says.
        SettingError: When a task is not known.
    """
    splits = recipe.data.open(progress=_Maker(progress))
    for note in splits.notes:
        progress.note(f"data: {note}")
    tasks = build_tasks(recipe.tasks or splits.tasks)
    image, _ = splits.val[0]
    return Workplace(recipe, splits, tasks, Example(image[None]))


def _channels(task: Task, targets: Mapping[str, Tensor]) -> int:
    """Return what a task's head has to answer: a score for each class, else as many channels as its target has."""
    classes: int | None = getattr(getattr(task, "settings", None), "classes", None)
    if classes is not None:
        return classes
    if task.name not in targets:
        known = ", ".join(targets) or "none"
        raise ContractError(f"the recipe has a task {task.name!r}, but the data has no such target; it has: {known}")
    return int(targets[task.name].shape[0])


class _Maker:
    """Draws what data tells of its making as pieces of work."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.at: tuple[str, int] | None = None

    def __call__(self, what: str, done: int, total: int) -> None:
        """Take word that ``done`` of ``total`` are made."""
        if self.at is None or self.at[0] != what:
            self.progress.begin(what, total, done)
            self.at = (what, done)
        self.progress.advance(done - self.at[1])
        self.at = (what, done)
        if done >= total:
            self.progress.end()
            self.at = None
