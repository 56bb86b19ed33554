"""Filter sharing: several task networks draw their filters from one bank."""

from niwaki.methods.share.method import FilterSharing
from niwaki.methods.share.search import (
    Calibrated,
    Distinct,
    Farthest,
    FarthestMedian,
    Greedy,
    KMeans,
    KMedoids,
    Knee,
    ManyObjective,
    RandomChoice,
    Weighted,
    choices,
    objectives,
    rankings,
)
from niwaki.methods.share.search.keeping import brief_searches, kept_searches
from niwaki.methods.share.selecting import Fixed, Important, Selector, selectors

__all__ = [
    "Calibrated",
    "Distinct",
    "Farthest",
    "FarthestMedian",
    "FilterSharing",
    "Fixed",
    "Greedy",
    "Important",
    "KMeans",
    "KMedoids",
    "Knee",
    "ManyObjective",
    "RandomChoice",
    "Selector",
    "Weighted",
    "brief_searches",
    "choices",
    "kept_searches",
    "objectives",
    "rankings",
    "selectors",
]
