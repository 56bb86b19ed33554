"""SNIP: the weights that the loss would miss most, found before training."""

from collections.abc import Mapping
from typing import Annotated, Literal

from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.calibration import Calibration
from niwaki.methods.sparse.allocation import Allocation, Global, allocations
from niwaki.methods.sparse.one_shot import OneShot
from niwaki.methods.sparse.saliency import gather, saliency
from niwaki.methods.sparse.subject import Subject
from niwaki.settings import family

__all__ = ["SNIP"]


@methods.register("snip")
class SNIP(OneShot):
    """Keep the weights with the largest `|w dL/dw|`, L the sum of the tasks' losses (Lee et al., arXiv 1810.02340).

    Batches that are looked at count as one large batch.

    Examples:
        >>> SNIP(density=0.1).allocation
        Global(kind='global')
    """

    kind: Literal["snip"] = "snip"
    allocation: Annotated[Allocation, *family(allocations)] = Global()

    def judge(self, model: nn.Module, subject: Subject, calibration: Calibration | None) -> Mapping[str, Tensor]:
        """Return the saliencies. See `OneShot`."""
        assert calibration is not None
        weights = subject.weights(model)
        total = gather(model, subject.names, calibration).total_of(weights)
        return {name: saliency(weight, total[name]) for name, weight in weights.items()}
