"""The recipes that come with Niwaki, one YAML file each."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from niwaki.errors import RecipeError
from niwaki.recipes.reading import parse_recipe, read_recipe
from niwaki.recipes.recipe import Recipe

__all__ = ["find_recipe", "recipe_names"]


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes that come with Niwaki.

    Examples:
        >>> "demo" in recipe_names()
        True
    """
    folder = files("niwaki.recipes.shelf")
    return tuple(sorted(each.name.removesuffix(".yaml") for each in folder.iterdir() if each.name.endswith(".yaml")))


def find_recipe(which: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name, or from a file.

    Args:
        which: A name of `recipe_names`, or the path of a YAML file.
        overrides: Changes ``a.b=c``, each value read as YAML.

    Returns:
        The validated recipe.

    Raises:
        RecipeError: When there is no such recipe or file, or a value is not allowed.
    """
    if which in recipe_names():
        text = (files("niwaki.recipes.shelf") / f"{which}.yaml").read_text(encoding="utf-8")
        return parse_recipe(text, source=f"{which}.yaml", overrides=overrides)
    if not Path(which).is_file():
        raise RecipeError(
            f"there is no recipe {which!r} and no such file; the recipes are: {', '.join(recipe_names())}"
        )
    return read_recipe(which, overrides)
