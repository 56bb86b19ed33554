"""`metrics.jsonl`: one line of plain data for each step, validation and cut."""

import json
import math
import os
from itertools import takewhile
from pathlib import Path
from typing import Any

__all__ = ["Journal"]


class Journal:
    """Appends lines to a file, and can be wound back to where a checkpoint was taken.

    Args:
        path: The file, or None to keep nothing.
        stage: Name that each line bears where several trainings share the file, or None.

    Examples:
        >>> Journal(None).write(kind="step", loss=0.5)
    """

    def __init__(self, path: Path | None, stage: str | None = None) -> None:
        self.path = path
        self.stage = stage
        self._lines: list[str] = []

    def write(self, **row: Any) -> None:
        """Add a line; it reaches the file with the next `flush`, or when enough have gathered.

        Args:
            **row: Plain data; NaN and infinity become null.
        """
        if self.path is not None:
            stage = {} if self.stage is None else {"stage": self.stage}
            self._lines.append(json.dumps(_strict({**stage, **row}), allow_nan=False, separators=(",", ":")))
            if len(self._lines) >= 200:
                self.flush()

    def flush(self) -> int:
        """Write what has gathered.

        Returns:
            The length of the file in bytes, which `rewind` takes.
        """
        if self.path is None:
            return 0
        with self.path.open("ab") as file:
            file.write("".join(f"{line}\n" for line in self._lines).encode())
            file.flush()
            os.fsync(file.fileno())
            self._lines.clear()
            return file.tell()

    def rewind(self, length: int) -> None:
        """Forget every line written after a checkpoint.

        Args:
            length: What `flush` returned then.
        """
        self._lines.clear()
        if self.path is not None and self.path.exists():
            os.truncate(self.path, min(length, self.path.stat().st_size))

    def restart(self) -> None:
        """Forget an earlier attempt at this stage, and whatever was written after it; other stages before it stay."""
        if self.path is not None and self.path.exists():
            lines = self.path.read_bytes().splitlines(keepends=True)
            kept = takewhile(lambda line: line.endswith(b"\n") and _stage(line) != self.stage, lines)
            self.rewind(sum(map(len, kept)))


def _stage(line: bytes) -> str | None:
    row: dict[str, Any] = json.loads(line)
    return row.get("stage")


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
