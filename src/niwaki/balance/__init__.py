"""Task balancing: many losses in, the one scalar to differentiate out."""

from niwaki.balance.base import Balancer, balancers
from niwaki.balance.dwa import DWA
from niwaki.balance.equal import Equal
from niwaki.balance.uncertainty import Uncertainty

__all__ = ["DWA", "Balancer", "Equal", "Uncertainty", "balancers"]
