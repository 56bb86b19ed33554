"""Reading recipes: YAML with line numbers, overrides from the command line, and errors that name the line."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from niwaki.errors import Problem, RecipeError, SettingError
from niwaki.recipes.recipe import Recipe
from niwaki.settings.base import read_settings

__all__ = ["parse_recipe", "read_recipe"]

Place = tuple[str | int, ...]


def read_recipe(path: Path | str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from a YAML file.

    Args:
        path: The file.
        overrides: Changes ``a.b=c``, each value read as YAML.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: When the file is missing or no YAML, or a value is not allowed; the message names the line, the
            value and what is allowed.
    """
    file = Path(path)
    if not file.is_file():
        raise RecipeError(f"{file} is no file; give a recipe's name (see `niwaki list recipes`) or a YAML file")
    return parse_recipe(file.read_text(encoding="utf-8"), source=str(file), overrides=overrides)


def parse_recipe(text: str, *, source: str = "recipe", overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe from YAML text.

    Args:
        text: The YAML.
        source: What messages call the text.
        overrides: Changes ``a.b=c``, each value read as YAML.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: As `read_recipe`.

    Examples:
        >>> parse_recipe("[data, model]")
        Traceback (most recent call last):
        niwaki.errors.RecipeError: recipe: a recipe is a mapping of settings; got list
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(_yaml_fault(source, error)) from None
    if not isinstance(values, dict):
        raise RecipeError(f"{source}: a recipe is a mapping of settings; got {type(values).__name__}")
    lines = _lines(node)
    changed = [_override(values, change) for change in overrides]
    try:
        return read_settings(Recipe, values)
    except SettingError as error:
        raise RecipeError(_explain(source, lines, changed, error)) from None


def _override(values: dict[str, Any], change: str) -> Place:
    path, equals, text = change.partition("=")
    if not equals or not path.strip():
        raise RecipeError(f"--set {change}: write it as a.b=c, for example --set training.lr=1e-4")
    keys = path.strip().split(".")
    inner: Any = values
    for key in keys[:-1]:
        inner = inner.setdefault(key, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {change}: {key!r} holds {inner!r}, which has no parts")
    try:
        inner[keys[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {change}: {_yaml_fault('the value', error)}") from None
    return tuple(keys)


def _explain(source: str, lines: Mapping[Place, int], changed: Sequence[Place], error: SettingError) -> str:
    shown = []
    for problem in _told_once(error.problems, lines):
        override = next((each for each in changed if _one_holds_the_other(each, problem.place)), None)
        where = f"--set {'.'.join(map(str, override))}" if override else f"{source}:{_line_of(lines, problem.place)}"
        shown.append(f"{where}: {problem}")
    return "\n".join(shown)


def _told_once(problems: Sequence[Problem], lines: Mapping[Place, int]) -> list[Problem]:
    """Leave out what `finetune` only inherited: it is told of `training`."""
    inherited = {("finetune", *each.place[1:]) for each in problems if each.place[:1] == ("training",)}
    return [each for each in problems if each.place not in inherited or each.place in lines]


def _one_holds_the_other(one: Place, other: Place) -> bool:
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]


def _line_of(lines: Mapping[Place, int], place: Place) -> int:
    for length in range(len(place), -1, -1):
        if place[:length] in lines:
            return lines[place[:length]]
    return 1


def _lines(node: yaml.Node | None, place: Place = ()) -> dict[Place, int]:
    if node is None:
        return {}
    found = {place: node.start_mark.line + 1}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            found |= _lines(value, inner) | {inner: key.start_mark.line + 1}
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            found |= _lines(value, (*place, index))
    return found


def _yaml_fault(source: str, error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    where = f"{source}:{mark.line + 1}" if mark else source
    return f"{where}: this is no YAML: {getattr(error, 'problem', None) or error}"
