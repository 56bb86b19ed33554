"""What candidates are worth, found once: remembered by row, kept on disk as plain lines, shared out among processes.

The file holds one line of JSON for each batch: the rows' hashes and their values. It grows by whole lines, each flushed
to the disk; one that a kill tore has no end and is cut off on opening. A search that is begun again with the same seed
asks the same questions and is answered from the file, so nothing has to be known of the algorithm's own state. The
file's name holds a hash of the problem: another problem has another file.
"""

import hashlib
import json
import os
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from niwaki.atomic import told_as_file_error, write_atomically
from niwaki.errors import FileError
from niwaki.methods.share.search.layer import Masks
from niwaki.methods.share.search.objectives import Objective, objectives
from niwaki.methods.share.search.problem import Problem, Values

__all__ = ["Evaluations", "fingerprint"]


def fingerprint(problem: Problem) -> str:
    """Return a hash of everything that the values of a problem depend on.

    Args:
        problem: The problem.

    Returns:
        16 hexadecimal digits.
    """
    functions = [_outline(objectives.get(name)) for name in problem.names]
    digest = hashlib.sha256(json.dumps([problem.names, problem.starts, functions]).encode())
    for layer in problem.layers:
        facts = [layer.name, layer.least, layer.most, layer.share, layer.scaled, layer.limits is not None]
        digest.update(json.dumps(facts).encode())
        arrays = [layer.filters, layer.owners, layer.mass_of, *([] if layer.limits is None else [layer.limits])]
        for array in arrays:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _outline(objective: Objective) -> list[str]:
    """Return what tells a function from another that once had its name: what it computes, by its code."""
    code = getattr(objective, "__code__", None)
    if code is None:
        return [type(objective).__qualname__]
    plain = [repr(each) for each in code.co_consts if isinstance(each, int | float | str)]
    return [code.co_code.hex(), *code.co_names, *plain]


class Evaluations:
    """Judges candidates of a problem, each once; used as a context.

    Args:
        problem: The problem.
        folder: Where the file of values lies; None keeps them in memory alone.
        workers: Processes that judge, each with the problem's data, which it is given once; 0 judges here.

    Raises:
        FileError: When the file can't be read or written.

    Attributes:
        count: Candidates that were judged here and not remembered.

    Examples:
        >>> from niwaki.methods.share.search.layer import SearchLayer
        >>> layer = SearchLayer("a", np.float32([[1, 0], [3, 0], [0, 4]]), np.array([0, 0, 1]), 2, 2)
        >>> with Evaluations(Problem((layer,), ("importance",))) as values:
        ...     again = [values.of(np.array([[False, True, True]])).tolist() for _ in range(2)]
        >>> again, values.count
        ([[[0.125]], [[0.125]]], 1)
    """

    def __init__(self, problem: Problem, folder: Path | None = None, workers: int = 0) -> None:
        self.problem = problem
        self.path = None if folder is None else folder / f"search-{fingerprint(problem)}.jsonl"
        self.count = 0
        self._known: dict[str, list[float]] = {}
        self._workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def of(self, rows: Masks) -> Values:
        """Return the values of candidates.

        Args:
            rows: ``[P, genes]``.

        Returns:
            ``[P, M]``.
        """
        keys = [hashlib.sha256(packed.tobytes()).hexdigest()[:32] for packed in np.packbits(rows, axis=1)]
        places = {key: place for place, key in enumerate(keys) if key not in self._known}
        if places:
            found = self._judged(rows[list(places.values())]).tolist()
            self.count += len(places)
            self._keep(list(places), found)
        return np.array([self._known[key] for key in keys])

    def __enter__(self) -> Self:
        if self.path is not None:
            self._open(self.path)
        if self._workers:
            self._pool = ProcessPoolExecutor(self._workers, get_context("spawn"), _hold, (self.problem,))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _judged(self, rows: Masks) -> Values:
        if self._pool is None:
            return self.problem.judge(rows)
        return np.concatenate(list(self._pool.map(_judge, self.problem.blocks(rows))))

    def _keep(self, keys: list[str], values: list[list[float]]) -> None:
        self._known.update(zip(keys, values, strict=True))
        if self.path is None:
            return
        line = json.dumps({"rows": keys, "values": values})
        with told_as_file_error(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _open(self, path: Path) -> None:
        with told_as_file_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        for number, line in enumerate(whole, 1):
            self._take(path, number, line)
        if sum(map(len, whole)) < len(text):
            write_atomically(path, "".join(whole))

    def _take(self, path: Path, number: int, line: str) -> None:
        with suppress(json.JSONDecodeError, KeyError, TypeError, ValueError):
            batch: dict[str, Any] = json.loads(line)
            self._known.update(zip(batch["rows"], batch["values"], strict=True))
            return
        raise FileError(f"{path}:{number}: not a batch of values; remove the file, and the search judges anew")


_held: list[Problem] = []
"""The problem of a worker process, which its pool gave it once."""


def _hold(problem: Problem) -> None:
    _held[:] = [problem]


def _judge(rows: Masks) -> Values:
    return _held[0].judge_block(rows)
