"""What a report is made of, read from a run directory."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niwaki.errors import FileError
from niwaki.records import Record

__all__ = ["Material", "Scene", "read_material"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Scene:
    """One input and the pictures that belong to it, as data URIs.

    Attributes:
        name: The scene's number, as text.
        input: The input as a picture.
        tasks: Task to ``truth``, ``dense``, ``small`` to picture.
    """

    name: str
    input: str
    tasks: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Material:
    """Everything a report shows.

    Attributes:
        record: What was measured.
        stages: Stage of training to its rows of `metrics.jsonl`, in the order they were run.
        scenes: Inputs with truth and predictions.
        recipe: The resolved recipe as text.
    """

    record: Record
    stages: dict[str, list[Row]]
    scenes: list[Scene]
    recipe: str


def read_material(directory: Path) -> Material:
    """Read the records of a finished run.

    Args:
        directory: A run directory with `record.json`.

    Returns:
        The material of its report.

    Raises:
        FileError: When there is no record, or a file is damaged.
    """
    path = directory / "record.json"
    if not path.exists():
        raise FileError(f"{path} is missing: a report is made of a finished run; run or resume it first")
    recipe = directory / "recipe.yaml"
    return Material(
        record=Record.from_json(path.read_text(encoding="utf-8")),
        stages=_stages(directory / "metrics.jsonl"),
        scenes=_scenes(directory / "pictures"),
        recipe=recipe.read_text(encoding="utf-8") if recipe.exists() else "",
    )


def _stages(path: Path) -> dict[str, list[Row]]:
    stages: dict[str, list[Row]] = {}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise FileError(f"{path}:{number}: not a line of JSON ({error.msg}); remove it or run again") from None
        stages.setdefault(str(row.get("stage") or "training"), []).append(row)
    return stages


def _scenes(folder: Path) -> list[Scene]:
    if not folder.is_dir():
        return []
    found: dict[str, dict[str, dict[str, str]]] = {}
    for path in sorted(folder.glob("*.png")):
        name, _, rest = path.stem.partition(".")
        task, _, kind = rest.partition(".")
        found.setdefault(name, {}).setdefault(task, {})[kind or "input"] = _data_uri(path)
    return [
        Scene(name, tasks.get("input", {}).get("input", ""), {t: kinds for t, kinds in tasks.items() if t != "input"})
        for name, tasks in found.items()
    ]


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
