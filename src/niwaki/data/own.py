"""The user's own data in a recipe: a function of theirs that returns the splits."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader

from niwaki.contract import import_own
from niwaki.data.base import DataSettings, Progress, SampleDataset, Split, Splits, datasets
from niwaki.data.findings import Findings, Problem, SplitFindings, first_problems
from niwaki.data.spread import spread
from niwaki.data.tally import Tally
from niwaki.errors import ContractError, DataError
from niwaki.tasks import Task, build_tasks

__all__ = ["OwnData"]

_LOOK_AT = 64
_OPENED_WITH = 4
_SAMPLE = "(x, {task: target})"


@datasets.register("own")
class OwnData(DataSettings):
    """Data out of your own code: a function that returns `niwaki.data.Splits`.

    A split is anything with a length whose items are ``(x, {task: target})``, or a dict of these by task where the
    tasks have inputs of their own. A sample may lack a task.

    Attributes:
        source: The function, as ``package.module:function``; modules in the working directory are found.
        options: What it is called with, by name.

    Raises:
        SettingError: When a value is not allowed.
    """

    kind: Literal["own"] = "own"
    source: str = Field(min_length=3)
    options: dict[str, Any] = {}

    def open(self, *, progress: Progress | None = None) -> Splits[Any]:
        """Call the function, look at the first samples, and return its splits.

        Args:
            progress: Not told: the function is the user's.

        Returns:
            The splits.

        Raises:
            DataError: When there is no such function, it returns something else, or a sample is none.
        """
        del progress
        splits = self._call()
        Findings(problems=first_problems(self._problems(splits, _OPENED_WITH))).raise_if_wrong()
        return splits

    def check(self) -> Findings:
        """Call the function and look at samples spread over each split."""
        splits = self._call()
        problems = first_problems(self._problems(splits, _LOOK_AT))
        if problems:
            return Findings(problems=problems)
        return Findings(splits=tuple(_look(name, each, splits) for name, each in _each(splits)), notes=splits.notes)

    def _call(self) -> Splits[Any]:
        try:
            function = import_own(self.source)
        except ContractError as error:
            raise DataError(str(error)) from error
        splits = function(**self.options)
        if not isinstance(splits, Splits):
            expected = "expected niwaki.data.Splits(train=…, val=…, test=… or None, tasks=…)"
            raise DataError(f"{self.source} returned {type(splits).__name__}; {expected}")
        return splits

    def _problems(self, splits: Splits[Any], at_most: int) -> Iterator[Problem]:
        tasks = build_tasks(splits.tasks)
        for name, split in _each(splits):
            where = f"{self.source} {name}"
            if isinstance(split, DataLoader) or not (hasattr(split, "__len__") and hasattr(split, "__getitem__")):
                yield Problem(where, f"a {type(split).__name__}", "a data set: it has a length, and items are samples")
            elif not len(split):
                yield Problem(where, "no sample", "at least one")
            else:
                for index in spread(len(split), at_most):
                    yield from _sample_problems(f"{where}[{index}]", split[index], tasks)


def _each(splits: Splits[Any]) -> Iterator[tuple[str, Any]]:
    """Yield every data set with its name: of data by task ``train[TASK]``."""
    whole: dict[str, Split | None] = {"train": splits.train, "val": splits.val, "test": splits.test}
    for name, split in whole.items():
        if isinstance(split, Mapping):
            yield from ((f"{name}[{task}]", each) for task, each in split.items())
        elif split is not None:
            yield name, split


def _look(name: str, split: SampleDataset, splits: Splits[Any]) -> SplitFindings:
    _, bracket, own = name.partition("[")
    named = {task.name: plain for task, plain in zip(build_tasks(splits.tasks), splits.tasks, strict=True)}
    tally = Tally([plain for task, plain in named.items() if not bracket or task == own[:-1]], splits.classes)
    for index in spread(len(split), _LOOK_AT):
        tally.add(split[index])
    return tally.findings(name, len(split))


def _sample_problems(where: str, sample: Any, tasks: tuple[Task, ...]) -> Iterator[Problem]:
    if not isinstance(sample, tuple | list) or len(sample) != 2 or not isinstance(sample[1], Mapping):
        yield Problem(where, f"a {type(sample).__name__}", _SAMPLE)
        return
    image, targets = sample
    if not isinstance(image, Tensor) or not image.is_floating_point():
        found = f"x of {image.dtype}" if isinstance(image, Tensor) else f"x of type {type(image).__name__}"
        yield Problem(where, found, "x as a floating tensor, values in [0, 1]")
    elif not bool(image.isfinite().all()):
        yield Problem(where, "NaN or infinite values in x", "finite values")
    for task in tasks:
        target = targets.get(task.name)
        classes = getattr(getattr(task, "settings", None), "classes", None)
        if target is not None and not isinstance(target, Tensor):
            yield Problem(where, f"{task.name}: a {type(target).__name__}", "a tensor")
        elif target is not None and classes is not None:
            yield from _class_problems(f"{where} {task.name}", target, task, classes)


def _class_problems(where: str, target: Tensor, task: Task, classes: int) -> Iterator[Problem]:
    if target.is_floating_point():
        yield Problem(where, f"labels of {target.dtype}", "whole numbers")
        return
    known = target[None][task.labelled(target[None])]
    if known.numel() and not 0 <= int(known.min()) <= int(known.max()) < classes:
        yield Problem(where, f"labels from {int(known.min())} to {int(known.max())}", f"labels from 0 to {classes - 1}")
