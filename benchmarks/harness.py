"""What every benchmark shares: cells that are cached when done, a table that shows what is missing, a record.

A record is completed piece by piece: what this code has not measured stays in it as an earlier commit left it.
"""

import argparse
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from scipy import stats

from niwaki.errors import MissingExtraError
from niwaki.records import Environment

__all__ = ["Benchmark", "Cell", "find_data", "paired"]

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / "benchmarks" / ".cache"
RECORDS = ROOT / "benchmarks" / "records"


@dataclass(frozen=True)
class Cell:
    """One figure to find: a part of the benchmark, its settings, and the function that measures it.

    One that is `alone` is measured while no other is, before them: it is about time.
    """

    part: str
    settings: dict[str, Any]
    measure: Callable[..., dict[str, Any]] = field(compare=False)
    alone: bool = False

    @property
    def key(self) -> str:
        """Hash of the settings and of the code that is measured."""
        text = json.dumps([self.part, self.settings, code_version()], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def figures(self) -> dict[str, Any] | None:
        """Return what was measured, by this code or else by that of the record, or None where nothing was yet."""
        found = _found(self)
        return found and found["figures"]


@dataclass(frozen=True)
class Benchmark:
    """A named list of cells, with the columns of its table.

    Attributes:
        name: Name of the record.
        cells: Everything that can be measured.
        quick: The parts that `--quick` measures.
        columns: Part to the figures its table shows.
        summary: Draws conclusions from the cells' figures; they are printed, and stand in the record.
    """

    name: str
    cells: Sequence[Cell]
    quick: tuple[str, ...]
    columns: dict[str, tuple[str, ...]]
    summary: Callable[[], dict[str, str]] | None = None

    def main(self) -> None:
        """Measure what was asked for, cell by cell, print the tables and write the record."""
        parts = list(dict.fromkeys(cell.part for cell in self.cells))
        parser = argparse.ArgumentParser(description=sys.modules["__main__"].__doc__)
        parser.add_argument("--quick", action="store_true", help=f"the parts {', '.join(self.quick)}")
        parser.add_argument("--full", action="store_true", help="every part")
        parser.add_argument("--part", action="append", choices=parts, default=[], help="one part; may be repeated")
        parser.add_argument("--only", default="", metavar="TEXT", help="only cells whose settings contain this text")
        parser.add_argument("--jobs", type=int, default=1, metavar="N", help="cells at a time, each in a process")
        asked = parser.parse_args()
        wanted = set(asked.part) | (set(self.quick) if asked.quick else set()) | (set(parts) if asked.full else set())
        chosen = [cell for cell in self.cells if cell.part in wanted and asked.only in str(cell.settings)]
        _measure_all([cell for cell in chosen if not _cached(cell)], asked.jobs)
        for part in parts:
            self._print(part)
        self._write(self.summary() if self.summary else {})

    def _print(self, part: str) -> None:
        cells = [cell for cell in self.cells if cell.part == part]
        if not any(_found(cell) for cell in cells):
            Console().print(f"{self.name}: {part}: none of {len(cells)} cells was measured", highlight=False)
            return
        table = Table(title=f"{self.name}: {part}", title_justify="left")
        settings = list(dict.fromkeys(key for cell in cells for key in cell.settings))
        for name in (*settings, *self.columns[part], "commit"):
            table.add_column(name, justify="left" if name in settings else "right", overflow="fold")
        for cell in cells:
            found = _found(cell)
            shown = [_text(found["figures"].get(name)) if found else "missing" for name in self.columns[part]]
            shown.append(found["commit"] if found else "")
            table.add_row(*(escape(str(cell.settings.get(name, ""))) for name in settings), *map(escape, shown))
        console = Console()
        (console if console.is_terminal else Console(width=180)).print(table)

    def _write(self, summary: dict[str, str]) -> None:
        for title, text in summary.items():
            Console().print(f"{title}: {text}", highlight=False, markup=False)
        begun = {cell.part for cell in self.cells if _found(cell)}
        rows = [
            {"part": cell.part, "settings": cell.settings, **(_found(cell) or {"figures": None})}
            for cell in self.cells
            if cell.part in begun
        ]
        RECORDS.mkdir(exist_ok=True)
        record: dict[str, Any] = {
            "benchmark": self.name,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
            "cells": rows,
        }
        record |= {"summary": summary} if summary else {}
        (RECORDS / f"{self.name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def find_data(name: str) -> Path:
    """Return a data set's folder in one of those that ``NIWAKI_DATA`` lists, by default the one beside the project.

    Args:
        name: The folder's name, such as ``mnist``.

    Raises:
        FileNotFoundError: When none of them holds it; the cell is then left out.
    """
    places = os.environ.get("NIWAKI_DATA", str(ROOT.parent / "shared" / "data")).split(os.pathsep)
    for place in map(Path, places):
        if (place / name).is_dir():
            return place / name
    raise FileNotFoundError(f"no folder {name} in {', '.join(places)}; name its parent in NIWAKI_DATA")


def paired(differences: Sequence[float]) -> str:
    """Say what pairs of runs with one seed each differ by: mean and 95 % interval over the seeds (Student's t).

    Examples:
        >>> paired([1.0, 2.0, 3.0])
        '+2.00 (-0.48 to +4.48), 3 seeds: undecided'
    """
    low, high = stats.ttest_1samp(differences, 0.0).confidence_interval(0.95)
    verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    return f"{mean(differences):+.2f} ({low:+.2f} to {high:+.2f}), {len(differences)} seeds: {verdict}"


@cache
def code_version() -> str:
    """Return the hash of the package's code as it lay there at the beginning: what this process has imported."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "src").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def commit() -> str:
    """Return the commit that is checked out, with a mark when files differ from it."""
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _cached(cell: Cell) -> dict[str, Any] | None:
    path = CACHE / f"{cell.key}.json"
    found: dict[str, Any] | None = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    return found


def _found(cell: Cell) -> dict[str, Any] | None:
    """Return what this code measured, or else what the record holds; the commit beside it tells which."""
    return _cached(cell) or _recorded().get(_identity(cell.part, cell.settings))


@cache
def _recorded() -> dict[str, dict[str, Any]]:
    """Read the record of the script that runs, as it lies there at the beginning."""
    path = RECORDS / f"{Path(str(sys.modules['__main__'].__file__)).stem}.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["cells"] if path.exists() else []
    return {
        _identity(row["part"], row["settings"]): {key: row[key] for key in ("figures", "commit", "environment")}
        for row in rows
        if row["figures"] is not None
    }


def _identity(part: str, settings: dict[str, Any]) -> str:
    return json.dumps([part, settings], sort_keys=True)


def _measure_all(cells: list[Cell], jobs: int) -> None:
    """Measure cells in their order, one after the other or several at a time; the first that fails ends it."""
    for cell in cells:
        if cell.alone or jobs == 1:
            _measure(cell)
    if jobs == 1:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, context, initializer=_share_cores, initargs=(jobs,)) as pool:
        for done in [pool.submit(_measure, cell) for cell in cells if not cell.alone]:
            try:
                done.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise


def _share_cores(jobs: int) -> None:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))


def _measure(cell: Cell) -> None:
    screen = Console(stderr=True)
    screen.print(f"{cell.part} {cell.settings}", highlight=False, markup=False)
    try:
        _keep(cell, cell.measure(**cell.settings))
    except (MissingExtraError, FileNotFoundError) as missing:
        screen.print(f"  left out: {missing}", highlight=False, markup=False)


def _keep(cell: Cell, figures: dict[str, Any]) -> None:
    CACHE.mkdir(exist_ok=True)
    environment = Environment.capture().model_dump(mode="json")
    row = {"figures": figures, "commit": commit(), "environment": environment}
    partial = CACHE / f"{cell.key}.part"
    partial.write_text(json.dumps(row), encoding="utf-8")
    partial.replace(CACHE / f"{cell.key}.json")


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list):
        return " ".join(_text(each) for each in value)
    return "" if value is None else str(value)
