"""`niwaki measure` and `niwaki export`: a finished run, or a model in the user's own code."""

from pathlib import Path
from typing import Annotated

import typer

from niwaki.cli.screen import draw, errors, screen
from niwaki.errors import SettingError
from niwaki.records import ROUNDS, Cost, Latency

__all__ = ["Shape", "Target", "Weights", "export", "measure", "sizes_of"]

Target = Annotated[str, typer.Argument(help="A run directory, or a model as package.module:callable.")]
Weights = Annotated[Path | None, typer.Option("--weights", help="A file of niwaki.save, for a model of your own.")]
Shape = Annotated[
    str | None, typer.Option("--input", metavar="N,C,H,W", help="Shape of the input, for a model of your own.")
]


def measure(
    target: Target,
    weights: Weights = None,
    shape: Shape = None,
    rounds: Annotated[int, typer.Option(help="Interleaved rounds of timing.")] = ROUNDS,
    threads: Annotated[int, typer.Option(help="Threads inside one operator.")] = 1,
) -> None:
    """Count what every part of a model costs, and time it."""
    from niwaki.measure import measure as cost_of
    from niwaki.measure import measure_latency
    from niwaki.recipes.subject import open_subject

    subject = open_subject(target, weights=weights, shape=sizes_of(shape))
    for name, model in subject.models.items():
        screen().print(_cost(name, cost_of(model, subject.example, tasks=subject.tasks)))
    errors().print("timing…", highlight=False)
    latency = measure_latency(subject.models, subject.example, rounds=rounds, threads=threads, tasks=subject.tasks)
    screen().print(_times(latency))
    for warning in latency.warnings:
        errors().print(f"[yellow]warning[/] {warning}", highlight=False, soft_wrap=True)


def export(
    target: Target,
    out: Annotated[Path, typer.Option("--out", help="The ONNX file to write.")] = Path("model.onnx"),
    weights: Weights = None,
    shape: Shape = None,
) -> None:
    """Export a model to ONNX and compare the file's answers with the model's, task by task."""
    from niwaki.export import export as write
    from niwaki.recipes.subject import open_subject

    subject = open_subject(target, weights=weights, shape=sizes_of(shape))
    model = list(subject.models.values())[-1]
    errors().print("exporting and comparing…", highlight=False)
    result = write(model, subject.example, out, tasks=subject.tasks)
    screen().print(str(result), markup=False, highlight=False, soft_wrap=True)


def _cost(name: str, cost: Cost) -> object:
    parts = {"whole": cost.whole, "trunk": cost.trunk}
    parts |= {f"branch {key}": part for key, part in cost.branches.items()}
    parts |= {f"head {key}": part for key, part in cost.heads.items()}
    rows = [
        (part, *(f"{value:,}" for value in (each.params, each.nonzeros, each.macs, each.bytes)))
        for part, each in parts.items()
    ]
    return draw(f"{name}: cost", ("part", "parameters", "non-zeros", "MACs", "bytes"), rows)


def _times(latency: Latency) -> object:
    rows = [
        (each.model, each.runtime, *(f"{ms:.2f}" for ms in (each.median_ms, each.min_ms, each.spread_ms, each.cpu_ms)))
        for each in latency.timings
    ]
    title = f"latency, ms ({latency.device}, {latency.threads} threads, batch {latency.batch})"
    return draw(title, ("model", "runtime", "median", "min", "spread (IQR)", "CPU"), rows, left=2)


def sizes_of(shape: str | None) -> tuple[int, ...] | None:
    """Return the sizes that an `--input` names, None for none.

    Raises:
        SettingError: When they are no numbers.
    """
    if shape is None:
        return None
    try:
        return tuple(int(size) for size in shape.replace("x", ",").split(","))
    except ValueError:
        raise SettingError(f"--input {shape}: write the shape as numbers, for example --input 1,3,96,128") from None
