"""What a report is made of, read from a run directory."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niwaki.errors import FileError
from niwaki.records import Record

__all__ = ["Answer", "Material", "Scene", "read_material"]

Row = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a model, or the truth, says in words.

    Attributes:
        text: The class.
        share: How sure the model is of it, from 0 to 1; the truth has none.
        right: Whether it is the truth; None for the truth itself, or where it is not known.
    """

    text: str
    share: float | None
    right: bool | None


@dataclass(frozen=True)
class Scene:
    """One input and what belongs to it; pictures are data URIs.

    Attributes:
        name: The scene's number, as text.
        input: The input as a picture.
        tasks: Task to ``truth``, ``dense``, ``small`` to picture.
        words: Task to ``truth``, ``dense``, ``small`` to what is said in words.
    """

    name: str
    input: str
    tasks: dict[str, dict[str, str]]
    words: dict[str, dict[str, Answer]]


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
    words = _words(folder / "answers.json")
    return [
        Scene(
            name,
            tasks.get("input", {}).get("input", ""),
            {task: kinds for task, kinds in tasks.items() if task != "input"},
            words.get(name, {}),
        )
        for name, tasks in found.items()
    ]


def _words(path: Path) -> dict[str, dict[str, dict[str, Answer]]]:
    if not path.exists():
        return {}
    try:
        scenes = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise FileError(f"{path}: no JSON ({error.msg}); run again") from None
    return {scene: {task: _answers(kinds) for task, kinds in tasks.items()} for scene, tasks in scenes.items()}


def _answers(kinds: dict[str, tuple[str, float | None]]) -> dict[str, Answer]:
    truth = kinds.get("truth", (None, None))[0]
    known = {kind: None if kind == "truth" or truth is None else text == truth for kind, (text, _) in kinds.items()}
    return {kind: Answer(text, share, known[kind]) for kind, (text, share) in kinds.items()}


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
