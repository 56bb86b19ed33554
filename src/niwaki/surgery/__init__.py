"""The only code that changes layers: it cuts by a plan, proves the cut, and moves optimizer state along."""

from niwaki.surgery.batchnorm import reestimate_batchnorm
from niwaki.surgery.cutting import classes_removed_by, cut
from niwaki.surgery.graph_model import GraphModel
from niwaki.surgery.literals import LiteralSize, find_literal_sizes
from niwaki.surgery.optimizer import follow, follow_ema
from niwaki.surgery.plan import Plan, plans_of
from niwaki.surgery.silence import silenced_outputs
from niwaki.surgery.wrappers import recompile, unwrap

__all__ = [
    "GraphModel",
    "LiteralSize",
    "Plan",
    "classes_removed_by",
    "cut",
    "find_literal_sizes",
    "follow",
    "follow_ema",
    "plans_of",
    "recompile",
    "reestimate_batchnorm",
    "silenced_outputs",
    "unwrap",
]
