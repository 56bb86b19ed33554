"""`niwaki check-data`: what a data set holds, or the first things wrong."""

from typing import Annotated, Any

import typer
import yaml

from niwaki.cli.screen import draw, errors, screen
from niwaki.errors import SettingError

__all__ = ["check_data"]


def check_data(
    kind: Annotated[str, typer.Argument(help="Which data (`niwaki list data`).")],
    root: Annotated[str | None, typer.Argument(help="The folder it lies in, for data that has one.")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="A=B", help="Another setting of the data; may be repeated.")
    ] = None,
) -> None:
    """Check a data set: a table of what was found, or the first things wrong, each with its file."""
    from niwaki.data import check_data as check
    from niwaki.data import datasets
    from niwaki.settings.base import read_settings

    values: dict[str, Any] = {} if root is None else {"root": root}
    for change in changes or ():
        name, equals, text = change.partition("=")
        if not equals:
            raise SettingError(f"--set {change}: write it as name=value, for example --set root=DIR")
        values[name.removeprefix("data.")] = yaml.safe_load(text)
    findings = check(read_settings(datasets.get(kind), values))
    if findings.problems:
        wrong = draw(f"{kind}: the first things wrong", ("file", "found", "expected"), findings.problems, left=3)
        errors().print(wrong)
        raise typer.Exit(1)
    screen().print(draw(f"{kind}: what was found", findings.columns, findings.rows, left=findings.words))
    for note in findings.notes:
        screen().print(note, markup=False, highlight=False)
