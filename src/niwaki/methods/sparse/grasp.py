"""GraSP: the weights whose removal would hurt the flow of the gradient most, found before training."""

from collections.abc import Mapping
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from niwaki.methods.base import methods
from niwaki.methods.calibration import Calibration
from niwaki.methods.sparse.allocation import Allocation, Global, allocations
from niwaki.methods.sparse.derivatives import hessian_product
from niwaki.methods.sparse.one_shot import OneShot, worth
from niwaki.methods.sparse.saliency import gather
from niwaki.methods.sparse.subject import Subject
from niwaki.methods.sparse.together import summed
from niwaki.settings import family

__all__ = ["GraSP", "removal_scores"]


def removal_scores(weight: Tensor, product: Tensor) -> Tensor:
    """Return `-w (H g)`: the weights with the largest go (Wang, Zhang, Grosse, arXiv 2002.07376, equation 8).

    Args:
        weight: Any shape.
        product: The Hessian's product with the gradient, of the same shape.

    Returns:
        The same shape.

    Examples:
        >>> removal_scores(torch.tensor([2.0, -1.0]), torch.tensor([1.0, 3.0])).tolist()
        [-2.0, 3.0]
    """
    return -weight.detach() * product


@methods.register("grasp")
class GraSP(OneShot):
    """Keep the weights without which the gradient would lose most of its size; L is the sum of the tasks' losses.

    Both derivatives are taken of the mean over the batches that are looked at. The original divides the logits of its
    one classification by 200; tasks at large have no logits, so nothing is divided here.

    Examples:
        >>> GraSP(rate=50, batches=4).overall
        0.02
    """

    kind: Literal["grasp"] = "grasp"
    allocation: Annotated[Allocation, *family(allocations)] = Global()

    def judge(self, model: nn.Module, subject: Subject, calibration: Calibration | None) -> Mapping[str, Tensor]:
        """Return how much the gradient would miss each weight, as places among all. See `OneShot`."""
        assert calibration is not None
        weights = subject.weights(model)
        gradient = gather(model, subject.names, calibration).total_of(weights)
        products = {name: torch.zeros_like(each) for name, each in weights.items()}
        with calibration.undisturbed(model), torch.enable_grad():
            for batch in calibration.batches:
                losses = calibration.losses(model, batch)
                for name, each in hessian_product(_sum(losses), weights, gradient).items() if losses else ():
                    products[name] += each
        return worth({name: -removal_scores(weight, summed(products[name])) for name, weight in weights.items()})


def _sum(losses: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([losses[task] for task in sorted(losses)]).sum()
