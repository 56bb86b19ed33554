"""`niwaki plan`: every group of channels, what it would keep, or why it stays whole."""

from pathlib import Path
from typing import Annotated, Any

import typer

from niwaki.cli.inspecting import Shape, Target, Weights, sizes_of
from niwaki.cli.screen import screen
from niwaki.errors import SettingError

__all__ = ["plan"]

Options = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="A=B", help="A goal or an option of niwaki.plan: macs=0.5, round_to=4."),
]


def plan(
    target: Target,
    weights: Weights = None,
    shape: Shape = None,
    options: Options = None,
    why: Annotated[str | None, typer.Option(help="Name of one layer or tensor to tell about.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="A JSON file to write the plan to.")] = None,
) -> None:
    """Show what pruning would take away of each group of channels, or why it stays whole; half goes by default."""
    from niwaki.atomic import write_atomically
    from niwaki.methods.prune import plan as make
    from niwaki.recipes.subject import open_subject

    chosen = _read(options or [])
    if not chosen.keys() & _GOALS:
        chosen["channels"] = 0.5
    subject = open_subject(target, weights=weights, shape=sizes_of(shape))
    found = make(next(iter(subject.models.values())), subject.example, tasks=subject.tasks, **chosen)
    screen().print(found.why(why) if why else str(found), markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        write_atomically(out, found.to_json(indent=2))


_GOALS = {"channels", "params", "macs", "bytes", "latency_ms", "budget", "limits"}


def _read(options: list[str]) -> dict[str, Any]:
    import yaml

    wrong = next((each for each in options if "=" not in each), None)
    if wrong is not None:
        raise SettingError(f"--set {wrong}: write NAME=VALUE, for example macs=0.5")
    try:
        return {name: yaml.safe_load(text) for name, _, text in (each.partition("=") for each in options)}
    except yaml.YAMLError as error:
        raise SettingError(f"--set: {error}; write NAME=VALUE, for example macs=0.5") from None
