"""The command `niwaki`: its subcommands, and what a mistake looks like."""

import sys

import typer

from niwaki.cli import checking, inspecting, listing, picking, planning, running, sharing
from niwaki.cli.screen import errors, screen
from niwaki.errors import NiwakiError
from niwaki.version import __version__

__all__ = ["app", "main"]

app = typer.Typer(
    help="Make multi-task neural networks small and fast without losing any of their tasks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
)

app.command("demo")(running.demo)
app.command("run")(running.run)
app.command("pick")(picking.pick)
app.command("plan")(planning.plan)
app.command("measure")(inspecting.measure)
app.command("export")(inspecting.export)
app.command("check-data")(checking.check_data)
app.command("list")(listing.show)
app.add_typer(sharing.share, name="share")


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and exit.")) -> None:
    if version:
        screen().print(__version__)
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's mistake is one message and exit status 2, an interruption is status 130."""
    try:
        app()
    except NiwakiError as error:
        errors().print(f"[bold red]error[/] {_escaped(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except KeyboardInterrupt:
        errors().print("stopped; a run goes on where it was with --resume", highlight=False)
        sys.exit(130)


def _escaped(text: str) -> str:
    return text.replace("[", r"\[")
