"""`niwaki list`: the names recipes know."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from niwaki.cli.screen import draw, screen

__all__ = ["Shelf", "show"]


class Shelf(StrEnum):
    """What can be listed."""

    recipes = "recipes"
    methods = "methods"
    models = "models"
    data = "data"
    balancers = "balancers"


def show(what: Annotated[Shelf, typer.Argument(help="Which names.")]) -> None:
    """List the recipes, methods, models, data or balancers there are."""
    screen().print(draw(what.value, ("name", "what it is"), _entries(what), left=2))


def _entries(what: Shelf) -> list[tuple[str, str]]:
    if what is Shelf.recipes:
        from niwaki.recipes import find_recipe, recipe_names

        return [(name, find_recipe(name).about) for name in recipe_names()]
    names: dict[Any, list[str]] = {}
    for name, thing in _registry(what).items():
        names.setdefault(thing, []).append(name)
    return [(", ".join(each), _first_sentence(thing)) for thing, each in names.items()]


def _registry(what: Shelf) -> Any:
    if what is Shelf.methods:
        from niwaki.methods import methods

        return methods
    if what is Shelf.models:
        from niwaki.models import models

        return models
    if what is Shelf.data:
        from niwaki.data import datasets

        return datasets
    from niwaki.balance import balancers

    return balancers


def _first_sentence(thing: Any) -> str:
    text = " ".join((thing.__doc__ or "").partition("\n\n")[0].split())
    return text.partition(". ")[0].rstrip(".")
