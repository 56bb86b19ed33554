"""The directory of one run: its files' names, its lock, and the refusal to write over another run."""

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from niwaki.atomic import remove_leftovers, write_atomically
from niwaki.errors import FileError
from niwaki.files.lock import Lock
from niwaki.records import first_difference

__all__ = ["RUN_FILES", "RunDirectory"]

RUN_FILES = {
    "recipe": "recipe.yaml",
    "metrics": "metrics.jsonl",
    "checkpoint": "checkpoint.safetensors",
    "parent": "parent.safetensors",
    "dense": "dense.safetensors",
    "model": "model.safetensors",
    "onnx": "model.onnx",
    "record": "record.json",
    "report": "report.html",
    "pictures": "pictures",
    "cuts": "cuts",
}
"""What a run's files are called."""

_CHECKPOINTS = "checkpoint*.safetensors"
"""The resumable state, or those of several trainings (`niwaki.train.NamedStage`)."""


class RunDirectory:
    """A directory that belongs to one run while this object is open.

    Args:
        path: The directory; it is made when missing.
        recipe: The resolved recipe, as plain data; it is written to ``recipe.yaml``.
        resume: Whether to go on with the run that is there.

    Raises:
        FileError: When the directory holds another run, holds none although it is to be resumed, was begun with another
            recipe (the message names the first setting that differs), or is in use.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, RunDirectory(f"{folder}/run", {"seed": 0}) as run:
        ...     run.recipe.read_text().strip()
        'seed: 0'
    """

    def __init__(self, path: str | Path, recipe: Mapping[str, Any], *, resume: bool = False) -> None:
        self.path = Path(path)
        if resume:
            self._require_a_run()
        self._make()
        self._lock = Lock(self.path / ".lock")
        try:
            self._claim(recipe, resume=resume)
        except BaseException:
            self.close()
            raise

    @property
    def recipe(self) -> Path:
        """The resolved recipe."""
        return self.path / RUN_FILES["recipe"]

    @property
    def metrics(self) -> Path:
        """One line of plain data for each thing measured while training."""
        return self.path / RUN_FILES["metrics"]

    @property
    def checkpoint(self) -> Path:
        """The resumable state."""
        return self.path / RUN_FILES["checkpoint"]

    @property
    def parent(self) -> Path:
        """The trained model that was compressed, where the one it is compared with was trained on."""
        return self.path / RUN_FILES["parent"]

    @property
    def dense(self) -> Path:
        """The dense model that the compressed one is compared with."""
        return self.path / RUN_FILES["dense"]

    @property
    def model(self) -> Path:
        """The compressed model."""
        return self.path / RUN_FILES["model"]

    @property
    def onnx(self) -> Path:
        """The exported model."""
        return self.path / RUN_FILES["onnx"]

    @property
    def record(self) -> Path:
        """What was measured."""
        return self.path / RUN_FILES["record"]

    @property
    def report(self) -> Path:
        """The page to look at."""
        return self.path / RUN_FILES["report"]

    @property
    def pictures(self) -> Path:
        """The folder of drawn predictions."""
        return self.path / RUN_FILES["pictures"]

    def write(self, path: Path, content: str | bytes) -> None:
        """Write one of the run's files, whole or not at all.

        Args:
            path: One of the paths above.
            content: Text or bytes.

        Raises:
            FileError: When it can't be written.
        """
        write_atomically(path, content)

    def close(self) -> None:
        """Give the directory free for another process."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"can't make the run directory {self.path}: {error.strerror}; choose another") from None

    def _require_a_run(self) -> None:
        if not self.recipe.exists():
            raise FileError(
                f"there is no run to resume in {self.path}: it has no {RUN_FILES['recipe']}; begin one without "
                "resume=True (`--resume`), or name the directory of the run (`--out`)"
            )

    def _claim(self, recipe: Mapping[str, Any], *, resume: bool) -> None:
        named = [self.path / name for name in RUN_FILES.values() if (self.path / name).exists()]
        found = [each.name for each in dict.fromkeys([*named, *sorted(self.path.glob(_CHECKPOINTS))])]
        if resume:
            self._go_on(recipe)
            return
        if found:
            raise FileError(
                f"{self.path} holds a run already ({', '.join(found)}); go on with it by resume=True "
                "(`--resume`), or choose another directory (`--out`)"
            )
        write_atomically(self.recipe, _as_yaml(recipe))

    def _go_on(self, recipe: Mapping[str, Any]) -> None:
        self._require_a_run()
        try:
            before = yaml.safe_load(self.recipe.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise FileError(
                f"{self.recipe} can't be read: {error}; begin the run anew in another directory (`--out`)"
            ) from None
        _require_same(before, yaml.safe_load(_as_yaml(recipe)), self.recipe)
        remove_leftovers(self.path)


def _as_yaml(recipe: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(recipe), sort_keys=False, allow_unicode=True)


def _require_same(before: Any, now: Any, path: Path) -> None:
    difference = first_difference(before, now)
    if difference is not None:
        place, old, new = difference
        raise FileError(
            f"can't resume with another recipe: {place or 'the recipe'} is {new!r}, but {old!r} in {path}; use the "
            "recipe the run was begun with, or begin anew in another directory (`--out`)"
        )
