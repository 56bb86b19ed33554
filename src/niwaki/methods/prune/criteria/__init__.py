"""Criteria: what a channel is worth. One file each: a pure function on tensors, then the settings."""

from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria
from niwaki.methods.prune.criteria.magnitude import Magnitude, slice_magnitudes
from niwaki.methods.prune.criteria.random import RandomScore

__all__ = ["Criterion", "Magnitude", "RandomScore", "Scores", "criteria", "slice_magnitudes"]
