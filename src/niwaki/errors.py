"""Every error a user can meet, in one tree.

A message names what was wrong, what was expected and what to do next; the command line prints it alone, without a
traceback.
"""

__all__ = [
    "BudgetError",
    "ContractError",
    "DataError",
    "ExportError",
    "FileError",
    "GraphError",
    "MeasureError",
    "MissingExtraError",
    "NiwakiError",
    "Problem",
    "RecipeError",
    "SettingError",
    "SurgeryError",
    "TrainingError",
    "did_you_mean",
]

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


class NiwakiError(Exception):
    """The root of the tree: catch it to catch everything Niwaki raises on purpose."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a setting: where it stands, what was wrong, and the value received."""

    place: tuple[str | int, ...]
    message: str
    value: object = None

    def __str__(self) -> str:
        where = ".".join(str(part) for part in self.place)
        return f"{where}: {self.message}" if where else self.message


class SettingError(NiwakiError, ValueError):
    """A setting, recipe value or registered name that is not allowed.

    Args:
        message: What was wrong, what is allowed.
        problems: The single faults, each with its place inside the settings.
    """

    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems or (Problem((), message),)


class ContractError(NiwakiError):
    """A model, example, output or target that does not keep the contract."""


class GraphError(NiwakiError):
    """A model that can't be traced, or a question to its graph that has no answer."""


class BudgetError(NiwakiError):
    """A budget that can't be reached; the message names the smallest reachable one."""


class SurgeryError(NiwakiError):
    """A cut that could not be made or did not prove itself; the input model is untouched."""


class DataError(NiwakiError):
    """Data that is missing or not as its layout says; the message names the file."""


class FileError(NiwakiError):
    """A file that is damaged, too new, or does not fit the model it is loaded into."""


class ExportError(NiwakiError):
    """A model that can't be exported, or an export that gives other answers."""


class MeasureError(NiwakiError):
    """A measurement that can't be taken or compared."""


class TrainingError(NiwakiError):
    """A training run that can't go on, such as a loss that became NaN."""


class RecipeError(NiwakiError):
    """A recipe that can't be read; the message names the line, the value and what is allowed."""


class MissingExtraError(NiwakiError):
    """A feature whose optional package is not installed.

    Args:
        extra: Name of the extra in ``pip install niwaki[extra]``.
        what: The feature that needs it.
    """

    def __init__(self, extra: str, what: str) -> None:
        super().__init__(f"{what} needs an optional package; install it with: pip install 'niwaki[{extra}]'")
        self.extra = extra


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a message about an unknown name.

    Args:
        name: The name that was asked for.
        known: The names there are.

    Returns:
        The closest known name as a question, or nothing when none is close.

    Examples:
        >>> did_you_mean("magnitud", ["magnitude", "random"])
        "; did you mean 'magnitude'?"
        >>> did_you_mean("other", ["magnitude", "random"])
        ''
    """
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
