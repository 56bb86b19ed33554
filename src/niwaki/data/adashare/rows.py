"""The list of samples, ``{split: [[path, ...], ...]}``, and what is wrong with its rows."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from niwaki.data.findings import Problem
from niwaki.data.inside import lies_inside

__all__ = ["Rows", "read_rows", "row_problems"]

Rows: TypeAlias = Mapping[str, Sequence[Any]]
"""Lists of rows by name; a row holds one path for each column, or None or nothing where a file is missing."""

_FORM = "JSON of the form {split: [[path, ...], ...]}"


def read_rows(file: Path) -> Rows | Problem:
    """Return the lists a file holds, or what is wrong with it.

    Args:
        file: The JSON file.

    Returns:
        The lists by name, their rows not yet looked at; or one problem.
    """
    try:
        given = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        expected = f"the list of samples, {_FORM}; name its folder as the data's root (--set data.root=DIR)"
        return Problem(str(file), "no such file", expected)
    except (OSError, ValueError, RecursionError) as error:
        return Problem(str(file), f"a file that can't be read ({error})", _FORM)
    if not isinstance(given, dict) or not all(isinstance(rows, list) for rows in given.values()):
        kind = type(given).__name__ if not isinstance(given, dict) else "a split that is no list"
        return Problem(str(file), kind, _FORM)
    return given


def row_problems(file: Path, name: str, rows: Sequence[Any], columns: Sequence[str]) -> Iterator[Problem]:
    """Look for rows of another length, and for paths that are none.

    Args:
        file: The JSON file, for messages.
        name: The list's name.
        rows: Its rows.
        columns: What the paths of a row are, the picture first.

    Yields:
        At most one problem a row.
    """
    for index, row in enumerate(rows):
        fault = _fault(row, columns)
        if fault is not None:
            yield Problem(str(file), f"in {name}[{index}] {fault[0]}", fault[1])


def _fault(row: Any, columns: Sequence[str]) -> tuple[str, str] | None:
    if not isinstance(row, list) or len(row) != len(columns):
        found = f"{len(row)} paths" if isinstance(row, list) else f"{row!r}"
        return found, f"{len(columns)} paths ({', '.join(columns)}), null for a file that is missing"
    if not row[0]:
        return f"no {columns[0]}", "a path: a sample may lack labels, but not its picture"
    for column, path in zip(columns, row, strict=True):
        if path and not (isinstance(path, str) and lies_inside(path)):
            return f"{path!r} as {column}", "a path inside the list's folder, or null"
    return None
