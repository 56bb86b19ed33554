"""Where a training keeps its checkpoint and its metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from niwaki.errors import FileError
from niwaki.files import RUN_FILES, load_state, save, save_state
from niwaki.tasks import Task

__all__ = ["Keeper", "NamedStage", "Stage", "open_stage"]


class Stage(Protocol):
    """A place for one training: two paths. A run directory is one; `NamedStage` makes several of it."""

    @property
    def checkpoint(self) -> Path:
        """The file of the resumable state."""

    @property
    def metrics(self) -> Path:
        """The file of the journal."""


@dataclass(frozen=True)
class NamedStage:
    """One of several trainings in a directory: a checkpoint of its own, rows with its name in a common journal.

    Attributes:
        folder: The directory.
        name: Such as ``"dense"``; it stands in the checkpoint's file name and in each row.

    Examples:
        >>> NamedStage(Path("run"), "dense").checkpoint.name
        'checkpoint-dense.safetensors'
    """

    folder: Path
    name: str

    @property
    def checkpoint(self) -> Path:
        """The file of the resumable state."""
        return self.folder / f"checkpoint-{self.name}.safetensors"

    @property
    def metrics(self) -> Path:
        """The file of the journal, which all stages share."""
        return self.folder / "metrics.jsonl"


class Keeper:
    """Keeps one training's files, or nothing.

    Args:
        checkpoint: Path of the checkpoint, or None.
        metrics: Path of the journal, or None.
        name: Name of the stage in the journal, or None.
    """

    def __init__(self, checkpoint: Path | None, metrics: Path | None, name: str | None = None) -> None:
        self.checkpoint = checkpoint
        self.metrics = metrics
        self.name = name

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint as a whole: a kill leaves the old one or the new one.

        Args:
            state: Nested tensors and plain data.
        """
        if self.checkpoint is not None:
            save_state(self.checkpoint, state)

    def save_cut(self, number: int, model: nn.Module, tasks: Sequence[Task]) -> str:
        """Keep the model that a cut left, in a file of its own.

        Args:
            number: Which cut, from 1.
            model: The model, which remembers its plans.
            tasks: The tasks.

        Returns:
            The file's path from the directory of the checkpoint; empty where nothing is kept.
        """
        if self.checkpoint is None:
            return ""
        file = Path(RUN_FILES["cuts"]) / f"{self.name or 'model'}-{number:02d}.safetensors"
        path = self.checkpoint.parent / file
        path.parent.mkdir(exist_ok=True)
        save(model, path, tasks=tasks)
        return file.as_posix()

    def load(self) -> dict[str, Any] | None:
        """Return the checkpoint, or None when there is none yet.

        Raises:
            FileError: When the file is damaged or from a newer Niwaki.
        """
        if self.checkpoint is None or not self.checkpoint.exists():
            return None
        return dict(load_state(self.checkpoint))


def open_stage(out: Stage | str | PathLike[str] | None) -> Keeper:
    """Read where a training is to keep its files.

    Args:
        out: A directory; anything with paths ``checkpoint`` and ``metrics``; or None to keep nothing.

    Returns:
        The keeper; the directories exist.

    Raises:
        FileError: When the directory can't be made.

    Examples:
        >>> open_stage(None).checkpoint is None
        True
    """
    if out is None:
        return Keeper(None, None)
    if isinstance(out, str | PathLike):
        folder = Path(out)
        keeper = Keeper(folder / "checkpoint.safetensors", folder / "metrics.jsonl")
    else:
        keeper = Keeper(Path(out.checkpoint), Path(out.metrics), out.name if isinstance(out, NamedStage) else None)
    for path in (keeper.checkpoint, keeper.metrics):
        assert path is not None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"can't make the directory {path.parent}: {error.strerror}; choose another") from None
    return keeper
