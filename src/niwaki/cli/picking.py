"""`niwaki pick`: the model that one cut of a run left."""

from pathlib import Path
from typing import Annotated

import typer

from niwaki.cli.screen import draw, screen
from niwaki.records import CutRecord

__all__ = ["pick"]


def pick(
    run: Annotated[Path, typer.Argument(help="The run directory.")],
    step: Annotated[
        int | None, typer.Option("--step", help="Which cut, from 1; without it the cuts are listed.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; by default RUN/picked-STEP.")] = None,
) -> None:
    """Take the model as one step of pruning left it."""
    from niwaki.recipes import pick_cut, read_cuts

    if step is None:
        screen().print(_table(run, read_cuts(run)))
        return
    target = out or run / f"picked-{step}.safetensors"
    screen().print(_table(run, (pick_cut(run, step, target),)))
    screen().print(f"model: {target}", highlight=False, soft_wrap=True)


def _table(run: Path, cuts: tuple[CutRecord, ...]) -> object:
    return draw(f"{run}: cuts", CutRecord.columns, [cut.row for cut in cuts], left=0)
