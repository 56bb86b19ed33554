"""`niwaki demo` and `niwaki run`: a recipe from data to report."""

from pathlib import Path
from typing import Annotated

import typer

from niwaki.cli.screen import draw, errors, screen
from niwaki.records import Record, told_change, told_gain

__all__ = ["demo", "run"]

Changes = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A.B=C", help="Change a value of the recipe; may be given several times."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on, bit for bit, where a stopped run was.")]
Dry = Annotated[bool, typer.Option("--dry", help="Only say what would be done, how long and how large.")]
DEMO = "demo"


def demo(
    out: Annotated[Path, typer.Option("--out", help="The run directory.")] = Path("runs/demo"),
    changes: Changes = None,
    resume: Resume = False,
    dry: Dry = False,
) -> None:
    """Train, prune, fine-tune, export, measure and report on the built-in rooms."""
    _work(DEMO, out, changes, resume=resume, dry=dry)


def run(
    recipe: Annotated[str, typer.Argument(help="Name of a recipe (`niwaki list recipes`) or a YAML file.")],
    out: Annotated[Path | None, typer.Option("--out", help="The run directory; by default runs/NAME.")] = None,
    changes: Changes = None,
    resume: Resume = False,
    dry: Dry = False,
) -> None:
    """Run a recipe: train, make smaller, fine-tune, export, measure and report."""
    _work(recipe, out, changes, resume=resume, dry=dry)


def _work(which: str, out: Path | None, changes: list[str] | None, *, resume: bool, dry: bool) -> None:
    from niwaki.recipes import find_recipe, forecast, run_recipe
    from niwaki.reports import write_report
    from niwaki.train import Bars, keep_freed_memory

    keep_freed_memory()
    recipe = find_recipe(which, changes or ())
    folder = out or Path("runs") / recipe.name
    with Bars(errors()) as bars:
        if dry:
            expected = forecast(recipe, progress=bars)
        else:
            record = run_recipe(recipe, folder, resume=resume, progress=bars)
            page = write_report(folder)
    if dry:
        screen().print(draw(f"{recipe.name}: what a run would do", ("step", "expected"), expected.rows(), left=2))
        return
    screen().print(draw(f"{recipe.name}: {recipe.about}", *_outcome(record), left=2))
    screen().print(f"report: {page}", highlight=False, soft_wrap=True)


def _outcome(record: Record) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    rows: list[tuple[str, ...]] = []
    for task in record.worst_first():
        metric = record.primary[task]
        dense, small = (record.quality[name][task][metric] for name in ("dense", "small"))
        rows.append((task, f"{metric} ({record.directions[task][metric]} is better)", f"{dense:.4f}", f"{small:.4f}"))
        rows[-1] += (told_change(record.change(task)),)
    if len(rows) > 1:
        rows.append((f"{len(rows)} tasks", "mean change, plus is better", "", "", told_change(record.mean_change())))
    for unit, (whole, left) in record.totals().items():
        rows.append(("whole model", _UNITS.get(unit, unit), f"{whole:,}", f"{left:,}", f"{left / whole - 1:+.1%}"))
    if record.latency is not None:
        for runtime in dict.fromkeys(each.runtime for each in record.latency.timings):
            times = [record.latency.of(name, runtime) for name in ("dense", "small")]
            before, after = (each.median_ms if each else float("nan") for each in times)
            rows.append(("latency", f"{runtime}, ms", f"{before:.2f}", f"{after:.2f}", told_gain(before / after)))
    return ("", "", "dense", "small", "change"), rows


_UNITS = {"params": "parameters", "nonzeros": "parameters that are not zero", "macs": "multiply-accumulates"}
