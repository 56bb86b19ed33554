"""The search for the filters of a bank: objectives, candidates, and the ways to choose among them."""

from niwaki.methods.share.search.choice import Calibrated, Choice, Knee, Weighted, choices
from niwaki.methods.share.search.clustering import KMeans, KMedoids
from niwaki.methods.share.search.layer import SearchLayer
from niwaki.methods.share.search.many_objective import ManyObjective
from niwaki.methods.share.search.objectives import objectives
from niwaki.methods.share.search.ranked import Distinct, Farthest, FarthestMedian, Greedy, RandomChoice
from niwaki.methods.share.search.rankings import rankings

__all__ = [
    "Calibrated",
    "Choice",
    "Distinct",
    "Farthest",
    "FarthestMedian",
    "Greedy",
    "KMeans",
    "KMedoids",
    "Knee",
    "ManyObjective",
    "RandomChoice",
    "SearchLayer",
    "Weighted",
    "choices",
    "objectives",
    "rankings",
]
