"""Criteria: what a channel is worth. One file each: a pure function on tensors, then the settings."""

from niwaki.methods.prune.criteria.base import Criterion, Scores, criteria
from niwaki.methods.prune.criteria.blend import Blend
from niwaki.methods.prune.criteria.bn_scale import BNScale
from niwaki.methods.prune.criteria.cos_prune import CosPrune, mean_pairwise_cosine, slice_products
from niwaki.methods.prune.criteria.fpgm import FPGM, distances_to_others
from niwaki.methods.prune.criteria.magnitude import Magnitude, slice_magnitudes
from niwaki.methods.prune.criteria.random import RandomScore
from niwaki.methods.prune.criteria.taylor import Taylor, gate_gradients

__all__ = [
    "FPGM",
    "BNScale",
    "Blend",
    "CosPrune",
    "Criterion",
    "Magnitude",
    "RandomScore",
    "Scores",
    "Taylor",
    "criteria",
    "distances_to_others",
    "gate_gradients",
    "mean_pairwise_cosine",
    "slice_magnitudes",
    "slice_products",
]
