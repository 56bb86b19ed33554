"""Task balancing: many losses in, the one scalar to differentiate out."""

from niwaki.balance.adopt import as_balancer
from niwaki.balance.aggregator import Aggregator
from niwaki.balance.base import Balancer, balancers
from niwaki.balance.conflict import CAGrad, ConFIG, DualProj, GradDrop, GradVac, PCGrad, UPGrad
from niwaki.balance.dwa import DWA
from niwaki.balance.equal import Equal
from niwaki.balance.fairness import IMTLG, MGDA, AlignedMTL, ExcessMTL, FairGrad, NashMTL
from niwaki.balance.famo import FAMO
from niwaki.balance.gls import GLS
from niwaki.balance.gradient import GradientBalancer
from niwaki.balance.gradnorm import GradNorm
from niwaki.balance.imtl_l import IMTLL
from niwaki.balance.minmax import MinMax
from niwaki.balance.options import make_balancer
from niwaki.balance.priority import PCD, Krum
from niwaki.balance.relative_change import RelativeChange
from niwaki.balance.rlw import RLW
from niwaki.balance.scalarizer import Scalarizer
from niwaki.balance.stch import STCH
from niwaki.balance.uncertainty import Uncertainty

__all__ = [
    "DWA",
    "FAMO",
    "GLS",
    "IMTLG",
    "IMTLL",
    "MGDA",
    "PCD",
    "RLW",
    "STCH",
    "Aggregator",
    "AlignedMTL",
    "Balancer",
    "CAGrad",
    "ConFIG",
    "DualProj",
    "Equal",
    "ExcessMTL",
    "FairGrad",
    "GradDrop",
    "GradNorm",
    "GradVac",
    "GradientBalancer",
    "Krum",
    "MinMax",
    "NashMTL",
    "PCGrad",
    "RelativeChange",
    "Scalarizer",
    "UPGrad",
    "Uncertainty",
    "as_balancer",
    "balancers",
    "make_balancer",
]
