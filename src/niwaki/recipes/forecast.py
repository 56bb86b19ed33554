"""What a run would do: its steps, the time and the disk they would take, and whether the budget can be reached."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, count, islice
from math import ceil
from statistics import mean, median

from torch import nn

from niwaki.measure import measure
from niwaki.methods import Method
from niwaki.methods.share import brief_searches
from niwaki.recipes.recipe import Recipe
from niwaki.recipes.samples import head, size
from niwaki.recipes.workplace import Workplace, open_workplace
from niwaki.records import Cost
from niwaki.train import Progress, Silent, Training, evaluate
from niwaki.train.engine import Engine, backward_for_each_task
from niwaki.train.job import Job
from niwaki.train.loader import open_batches
from niwaki.train.loop import Loop
from niwaki.train.randomness import own_randomness
from niwaki.train.streams import Batches

__all__ = ["Forecast", "forecast"]

_TRIAL_STEPS = 5
_TRIAL_SAMPLES = 32
_COPIES = 4
"""Of the weights, in a checkpoint: the model, the best epoch's, and two moments of Adam."""
_TRIPS = 3
"""How often the measured split is gone through: parent, control and small."""
_EXPORT_SECONDS = 30
_ROUGH = "roughly: a search decides this, of which one generation was taken"


@dataclass(frozen=True)
class Forecast:
    """What is expected of a run.

    Attributes:
        steps: Stage to optimizer steps.
        seconds: Stage to expected seconds on this machine, from a few steps that were timed.
        disk_bytes: Expected size of the run directory, and of what the data keeps in the user's cache.
        dense: Cost of the dense network.
        small: Cost of the smaller network the method reaches.
        samples: Split to number of samples.
        rough: Whether a search decides how large ``small`` is, of which one generation was taken.
    """

    steps: dict[str, int]
    seconds: dict[str, float]
    disk_bytes: int
    dense: Cost
    small: Cost
    samples: dict[str, int]
    rough: bool = False

    @property
    def _is_sparse(self) -> bool:
        before, after = self.dense.whole, self.small.whole
        return after.nonzeros / after.params < 0.95 * before.nonzeros / before.params

    def rows(self) -> list[tuple[str, str]]:
        """Return the forecast as two columns of text."""
        before, after = self.dense.whole, self.small.whole
        found = [("data", ", ".join(f"{split} {count:,}" for split, count in self.samples.items()))]
        found += [(stage, f"{count:,} steps, {_minutes(self.seconds[stage])}") for stage, count in self.steps.items()]
        found += [
            ("budget", f"reachable: {after.macs / before.macs:.1%} of {before.macs:,} MACs stay"),
            ("", f"{after.params / before.params:.1%} of {before.params:,} parameters stay"),
            *([("", f"{after.nonzeros / after.params:.1%} of these are not zero")] if self._is_sparse else []),
            *([("", _ROUGH)] if self.rough else []),
            ("measuring, export, report", _minutes(self.seconds["measuring"])),
            ("all told", f"{_minutes(sum(self.seconds.values()))}, {self.disk_bytes / 2**20:,.0f} MiB on disk"),
        ]
        return found


def forecast(recipe: Recipe, progress: Progress | None = None) -> Forecast:
    """Expect what a run would take, by timing a few steps of it.

    Args:
        recipe: The recipe.
        progress: Who watches.

    Returns:
        The forecast; times are those of this machine as busy as it is now.

    Raises:
        BudgetError: When the method's budget is out of reach; the message names the smallest reachable.
        DataError: When the data is not there or not as its layout says.
    """
    watch = progress or Silent()
    watch.note("opening the data, tracing the network and timing a few steps")
    place = open_workplace(recipe, watch)
    dense = place.build()
    with brief_searches():
        started, run = place.start(dense)
        small = run.finish(started)
    stages = {} if recipe.training is None else {"dense": (dense, recipe.training)}
    stages |= {"control": (dense, recipe.finetune)} if recipe.control else {}
    per_step = {stage: _seconds_per_step(place, *job) for stage, job in stages.items()}
    stages["small"] = (small, recipe.finetune)
    per_step["small"] = _seconds_while_shrinking(place, dense, small)
    costs = {model: measure(model, place.example(model), tasks=place.names) for model in (dense, small)}
    per_sample = _seconds_per_sample(place, dense)
    seconds = {
        stage: place.steps(training) * per_step[stage]
        + _validations(place, training) * size(place.splits.val) * per_sample
        for stage, (_, training) in stages.items()
    }
    checkpoints = sum(costs[model].whole.bytes * _COPIES for model, _ in stages.values())
    cuts = len(recipe.method.moments(place.steps(recipe.finetune)))
    ends = (costs[dense].whole.bytes, costs[small].whole.bytes)
    files = ends[0] + 2 * ends[1] + _bytes_of_cuts(cuts, *ends)
    return Forecast(
        steps={stage: place.steps(training) for stage, (_, training) in stages.items()},
        seconds=seconds | {"measuring": _TRIPS * size(place.measured[1]) * per_sample + _EXPORT_SECONDS},
        disk_bytes=checkpoints + files + recipe.data.cache_bytes,
        dense=costs[dense],
        small=costs[small],
        samples=_samples(place),
        rough=recipe.method.searches_size,
    )


def _bytes_of_cuts(cuts: int, dense: int, small: int) -> int:
    """Return the bytes of the models that cuts leave, each as much smaller as the others."""
    return sum(dense + (small - dense) * number // cuts for number in range(1, cuts + 1))


def _samples(place: Workplace) -> dict[str, int]:
    splits = {"train": place.splits.train, "validation": place.splits.val, "test": place.splits.test}
    return {name: size(split) for name, split in splits.items() if split is not None}


def _validations(place: Workplace, training: Training) -> int:
    return ceil(place.steps(training) / place.steps_per_epoch(training) / training.eval_every)


def _seconds_per_step(place: Workplace, model: nn.Module, training: Training, method: Method | None = None) -> float:
    with own_randomness(training.seed), backward_for_each_task(training):
        engine = Engine.of(training)
        batches = open_batches(place.splits.train, training, place.tasks, shuffle=True, pin=engine.pins)
        job = Job(model, place.tasks, training, method, batches, engine)
        loop = job.loop(None, balance=place.recipe.make_balancer())
        return _typical(list(_steps(loop, batches)))


def _seconds_while_shrinking(place: Workplace, dense: nn.Module, small: nn.Module) -> float:
    """Return the mean seconds of the method's steps: the first have the whole model, the others the small one."""
    method, training = place.recipe.method, place.recipe.finetune
    share = _share_before_cuts(method, place.steps(training))
    whole = rest = 0.0
    if share > 0:
        with brief_searches():
            whole = _seconds_per_step(place, dense, training, method)
    if share < 1:
        rest = _seconds_per_step(place, small, training)
    return share * whole + (1 - share) * rest


def _steps(loop: Loop, batches: Batches) -> Iterator[float]:
    """Take a few steps, over as many epochs as it needs; yield the seconds of each."""
    stream = chain.from_iterable(map(batches.iterate, count()))
    for _ in range(min(_TRIAL_STEPS, loop.total)):
        began = time.perf_counter()
        loop.take(list(islice(stream, loop.training.accumulate)))
        loop.drain()  # waits for the device
        yield time.perf_counter() - began


def _typical(seconds: Sequence[float]) -> float:
    """Return the seconds of a step like most: the first is slower, and so is one that cuts."""
    return median(seconds[1:] or seconds)


def _share_before_cuts(method: Method, steps: int) -> float:
    """Return the share of the steps at which the method has the whole model; many cuts take it away bit by bit."""
    cuts = method.moments(steps)
    return mean(cuts) / steps if cuts else 1.0


def _seconds_per_sample(place: Workplace, model: nn.Module) -> float:
    some = head(place.splits.val, _TRIAL_SAMPLES)
    began = time.perf_counter()
    evaluate(model, place.tasks, some, batch_size=place.recipe.finetune.batch_size)
    return (time.perf_counter() - began) / size(some)


def _minutes(seconds: float) -> str:
    return f"about {seconds / 60:.1f} min" if seconds >= 60 else f"about {seconds:.0f} s"
