"""What a recipe names, opened and built: data, tasks, network, examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn

from niwaki.contract import Example, answers_all, as_examples, is_routed, route
from niwaki.data import Sample, Split, Splits
from niwaki.errors import ContractError
from niwaki.methods import Run
from niwaki.recipes.recipe import Recipe
from niwaki.recipes.samples import first_target, longest, spread
from niwaki.tasks import Task, build_tasks
from niwaki.train import Progress, Training
from niwaki.train.loader import open_batches

__all__ = ["Workplace", "open_workplace"]


@dataclass(frozen=True)
class Workplace:
    """The parts of a run.

    Attributes:
        recipe: The recipe they come from.
        splits: The data.
        tasks: The tasks.
        outputs: Task to the number of channels its head answers with.
    """

    recipe: Recipe
    splits: Splits[Any]
    tasks: tuple[Task, ...]
    outputs: dict[str, int]

    @property
    def names(self) -> list[str]:
        """The tasks' names."""
        return [task.name for task in self.tasks]

    @property
    def measured(self) -> tuple[str, Split]:
        """The split that results are measured on, and its name: the test split where there is one."""
        return ("validation", self.splits.val) if self.splits.test is None else ("test", self.splits.test)

    def build(self) -> nn.Module:
        """Return the dense network with fresh weights; the same weights each time."""
        return self.recipe.model.build(self.outputs, seed=self.recipe.seed)

    def example(self, model: nn.Module) -> Example | list[Example]:
        """Return one sample as a batch of one; of a routed network, an input for each path.

        Args:
            model: The network, dense or small.

        Returns:
            The inputs of a call that answers all tasks, or of one call for each task.
        """
        val = self.splits.val
        first = {task: (val[task] if isinstance(val, dict) else val)[0][0] for task in self.names}
        calls = [route(model, Example(image[None]), task) for task, image in first.items()]
        one_path = not is_routed(model) or (not isinstance(val, dict) and answers_all(model))
        return Example(first[self.names[0]][None]) if one_path else calls

    def batch(self, model: nn.Module, size: int) -> list[Example]:
        """Return inputs of random numbers with a batch of a size, to time models with.

        Args:
            model: The network.
            size: The batch.

        Returns:
            An input for each path: one, or of a routed network one for each task.
        """
        generator = torch.Generator().manual_seed(self.recipe.seed)

        def drawn(like: Tensor) -> Tensor:
            return torch.rand(size, *like.shape[1:], generator=generator)

        return [example.map(drawn) for example in as_examples(self.example(model))]

    def steps_per_epoch(self, training: Training) -> int:
        """Return the optimizer steps of one pass through the training data; a batch that is not full is dropped."""
        batches = max(1, longest(self.splits.train) // training.batch_size)
        return ceil(batches / training.accumulate)

    def steps(self, training: Training) -> int:
        """Return the optimizer steps of a whole training."""
        return training.total_steps(self.steps_per_epoch(training))

    def start(self, dense: nn.Module) -> tuple[nn.Module, Run]:
        """Begin the method on a network, as the run will; what it can't do, it says here.

        Args:
            dense: The network; it stays as it is.

        Returns:
            The model to train, and the method's run.

        Raises:
            BudgetError: When the budget is out of reach; the message names the smallest reachable.
            ContractError: When the method's schedule doesn't fit into the steps.
        """
        recipe = self.recipe
        data = open_batches(self.splits.train, recipe.finetune, self.tasks, shuffle=True).peek()
        steps = self.steps(recipe.finetune)
        return recipe.method.start(dense, self.example(dense), self.tasks, steps=steps, data=data)

    def scenes(self) -> Iterator[tuple[str, Sample]]:
        """Yield the samples that are drawn, spread over the measured split, each with a name."""
        return spread(self.measured[1], self.recipe.pictures)


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
        ContractError: When the data has no target for a task.
    """
    splits = recipe.data.open(progress=_Maker(progress))
    for note in splits.notes:
        progress.note(f"data: {note}")
    tasks = build_tasks(recipe.tasks or splits.tasks)
    return Workplace(recipe, splits, tasks, {task.name: _channels(task, splits.val) for task in tasks})


def _channels(task: Task, split: Split) -> int:
    """Return what a task's head has to answer: a score for each class, else as many channels as its target has."""
    classes: int | None = getattr(getattr(task, "settings", None), "classes", None)
    if classes is not None and not isinstance(split, dict):
        return classes
    found = first_target(split, task.name)
    if found is None:
        raise ContractError(
            f"the recipe has a task {task.name!r}, but the data has no such target; it has: {_targets(split)}"
        )
    return classes or int(found.shape[0])


def _targets(split: Split) -> str:
    samples = split.values() if isinstance(split, dict) else [split]
    return ", ".join(dict.fromkeys(task for each in samples for task in each[0][1])) or "none"


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
