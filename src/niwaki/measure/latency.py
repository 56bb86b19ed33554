"""Latency: how long models take beside each other, in named runtimes."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from niwaki.contract import Example, Named, as_examples, task_names
from niwaki.errors import MeasureError
from niwaki.measure.machine import device_in_words, disturbances, load_warning, torch_threads
from niwaki.measure.rounds import Contestant, Rounds, time_rounds
from niwaki.measure.runtimes import Entry, Subject
from niwaki.measure.runtimes import runtimes as known_runtimes
from niwaki.modules import device_of
from niwaki.records import ROUNDS, Latency, Timing

__all__ = ["measure_latency", "time_models"]


def measure_latency(
    models: Mapping[str, Subject],
    example: Any,
    *,
    runtimes: Sequence[str] = ("eager", "onnxruntime"),
    threads: int = 1,
    rounds: int = ROUNDS,
    warmup: int = 3,
    tasks: Sequence[str | Named] | None = None,
) -> Latency:
    """Time models side by side: all of them in every round, so that what disturbs one disturbs all.

    Modules run in evaluation mode and without gradients, and are left as they were. ONNX Runtime runs on the CPU,
    eager where the model is. A call that is too short for the clock is repeated inside its turn.

    Args:
        models: Name to module, to exported file (a `Path`; ONNX Runtime alone), or to callable (eager alone).
        example: The input, as for `measure`; its batch is the batch that is timed. One call runs all its paths.
        runtimes: Names of runtimes.
        threads: Threads inside one operator, in every runtime; at least 1.
        rounds: Timed turns of each model and runtime; at least 1.
        warmup: Untimed calls of each before them; at least 1.
        tasks: Tasks or their names, where an export needs them.

    Returns:
        Median, fastest, spread and CPU time of each, and warnings when the machine was busy.

    Raises:
        MeasureError: When a model can be timed in none of the runtimes, or a count is below 1.
        SettingError: When a runtime is not known.
        ExportError: When a model can't be exported to a runtime that needs a file.

    Examples:
        >>> calls = {"sine": torch.sin, "double": lambda x: 2 * x}
        >>> latency = measure_latency(calls, torch.ones(4, 10), runtimes=["eager"], rounds=5)
        >>> [(each.model, each.rounds) for each in latency.timings], latency.batch
        ([('sine', 5), ('double', 5)], 4)
    """
    examples = as_examples(example)
    devices = {_device(subject) for subject in models.values()}
    load = load_warning()
    times = time_models(models, examples, runtimes=runtimes, threads=threads, rounds=rounds, warmup=warmup, tasks=tasks)
    waits = disturbances(times) if devices == {torch.device("cpu")} else ()
    return Latency(
        timings=tuple(_timing(who, times) for who in times.wall_ms),
        device=device_in_words(devices),
        threads=threads,
        batch=_batch(examples[0]),
        warmup=warmup,
        warnings=(*((load,) if load else ()), *waits),
    )


def time_models(
    models: Mapping[str, Subject],
    example: Any,
    *,
    runtimes: Sequence[str],
    threads: int,
    rounds: int,
    warmup: int,
    tasks: Sequence[str | Named] | None = None,
) -> Rounds:
    """Time models as `measure_latency` does, and return every round: `Rounds.gains` shows how far a gain varies.

    The arguments are those of `measure_latency`.

    Returns:
        Wall and CPU time of one call, by runtime and model, in every round.

    Raises:
        MeasureError: When a model can be timed in none of the runtimes, or a count is below 1.
        SettingError: When a runtime is not known.
        ExportError: When a model can't be exported to a runtime that needs a file.
    """
    if threads < 1:
        raise MeasureError(f"threads is at least 1; got {threads}")
    names = task_names(tasks)
    entries = {name: Entry(subject, as_examples(example), names, threads) for name, subject in models.items()}
    with ExitStack() as stack:
        calls = _calls(entries, runtimes, stack)
        stack.enter_context(torch_threads(threads))
        return time_rounds(calls, rounds=rounds, warmup=warmup)


def _calls(
    entries: Mapping[str, Entry], runtimes: Sequence[str], stack: ExitStack
) -> dict[Contestant, Callable[[], object]]:
    calls: dict[Contestant, Callable[[], object]] = {}
    for runtime in runtimes:
        prepare = known_runtimes.get(runtime).prepare
        for name, entry in entries.items():
            call = prepare(entry, stack)
            if call is not None:
                calls[runtime, name] = call
    left = next((name for name in entries if not any(name == model for _, model in calls)), None)
    if left is not None:
        raise MeasureError(
            f"{left!r} can be timed in none of {', '.join(runtimes) or 'no runtimes'}; modules run in eager and "
            "onnxruntime, other callables in eager, exported files (a Path) in onnxruntime"
        )
    return calls


def _timing(who: Contestant, times: Rounds) -> Timing:
    runtime, model = who
    wall = times.wall_ms[who]
    return Timing(
        model=model,
        runtime=f"{runtime} {known_runtimes.get(runtime).version()}",
        median_ms=statistics.median(wall),
        min_ms=min(wall),
        spread_ms=_interquartile_range(wall),
        cpu_ms=statistics.median(times.cpu_ms[who]),
        rounds=len(wall),
    )


def _interquartile_range(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
    return upper - lower


def _device(subject: Subject) -> torch.device:
    return device_of(subject) if isinstance(subject, nn.Module) else torch.device("cpu")


def _batch(example: Example) -> int:
    return 1 if example.batch is None else example.batch
