"""`niwaki share pick`: another point of the front that a run's search found."""

from pathlib import Path
from typing import Annotated

import typer

from niwaki.cli.screen import draw, errors, screen
from niwaki.records.front import Front

__all__ = ["share"]

share = typer.Typer(help="Work with networks that share filters.", no_args_is_help=True)


@share.callback()
def _group() -> None:
    """Keep `pick` a command of its own: typer makes a group of a single command into that command."""


@share.command("pick")
def pick(
    run: Annotated[Path, typer.Argument(help="The run directory.")],
    point: Annotated[
        int | None, typer.Option("--point", help="Which point of the front, from 0; without it they are listed.")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Train them together as the run trained its own.")] = False,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write; by default RUN/point-POINT.")] = None,
) -> None:
    """Take another point of the front, without searching again."""
    from niwaki.recipes import pick_point, read_front
    from niwaki.train import Bars

    front = read_front(run)
    if point is None:
        screen().print(_listed(run, front))
        return
    front.kept(point)
    target = out or run / f"point-{point}.safetensors"
    with Bars(errors()) as bars:
        picked = pick_point(run, point, target, train=train, progress=bars)
    rows = [(name, f"{value:.4f}") for name, value in picked.values.items()]
    rows += [(f"{task}: {metric}", f"{picked.quality[task][metric]:.4f}") for task, metric in picked.primary.items()]
    rows.append(("bytes", f"{picked.bytes:,}"))
    screen().print(draw(f"{run}: point {point}", ("", ""), rows))
    screen().print(f"training: {picked.training}", highlight=False, soft_wrap=True)
    screen().print(f"model: {target}", highlight=False, soft_wrap=True)


def _listed(run: Path, front: Front) -> object:
    rows = [
        (f"{point}{' (taken)' if point == front.chosen else ''}", *(f"{value:.4f}" for value in values))
        for point, values in enumerate(front.values)
    ]
    return draw(f"{run}: what nothing beats", ("point", *front.objectives), rows)
