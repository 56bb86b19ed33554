"""Recipes: named, complete combinations, and the job that runs one from data to record."""

from niwaki.recipes.cuts import pick_cut, read_cuts
from niwaki.recipes.forecast import Forecast, forecast
from niwaki.recipes.job import run_recipe
from niwaki.recipes.reading import parse_recipe, read_recipe
from niwaki.recipes.recipe import LatencySettings, Recipe
from niwaki.recipes.shelf import find_recipe, recipe_names

__all__ = [
    "Forecast",
    "LatencySettings",
    "Recipe",
    "find_recipe",
    "forecast",
    "parse_recipe",
    "pick_cut",
    "read_cuts",
    "read_recipe",
    "recipe_names",
    "run_recipe",
]
