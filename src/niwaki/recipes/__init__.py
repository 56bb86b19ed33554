"""Recipes: named, complete combinations, and the job that runs one from data to record."""

from niwaki.recipes.cuts import pick_cut, read_cuts
from niwaki.recipes.forecast import Forecast, forecast
from niwaki.recipes.job import run_recipe
from niwaki.recipes.reading import parse_recipe, read_recipe
from niwaki.recipes.recipe import LatencySettings, Recipe
from niwaki.recipes.sharing import PickedPoint, pick_point, read_front
from niwaki.recipes.shelf import find_recipe, recipe_names

__all__ = [
    "Forecast",
    "LatencySettings",
    "PickedPoint",
    "Recipe",
    "find_recipe",
    "forecast",
    "parse_recipe",
    "pick_cut",
    "pick_point",
    "read_cuts",
    "read_front",
    "read_recipe",
    "recipe_names",
    "run_recipe",
]
