"""The command line: it parses, prints and exits; everything it does is a call a script could make."""

from niwaki.cli.app import main

__all__ = ["main"]
