"""Frozen, validated values: the base of every setting, and the budget."""

from niwaki.settings.base import Settings, family
from niwaki.settings.budget import Budget

__all__ = ["Budget", "Settings", "family"]
