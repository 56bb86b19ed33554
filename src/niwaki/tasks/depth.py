"""Depth: absolute error over valid pixels; 0, negative, NaN and infinite depths are no labels."""

from functools import partial
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from niwaki.tasks.colours import INVALID, depth_colours
from niwaki.tasks.maps import check_like
from niwaki.tasks.masked import blanked, masked_mean
from niwaki.tasks.meters import Metric
from niwaki.tasks.reading import Reading
from niwaki.tasks.ready import ReadyTask, ready
from niwaki.tasks.task import Picture

__all__ = ["Depth", "DepthScores", "depth_loss", "draw_depth", "valid_depth"]

_NAMES = ("abs", "rel", "rmse", "delta1", "delta2", "delta3")


def valid_depth(target: Tensor, *, above: float = 0.0) -> Tensor:
    """Return where a depth is a depth: finite and above a bound; bool, of the target's shape."""
    return target.isfinite() & (target > above)


def depth_loss(pred: Tensor, target: Tensor, *, above: float = 0.0) -> Tensor:
    """Return the mean absolute error over valid pixels.

    Args:
        pred: Depth, any shape.
        target: Depth, the same shape; invalid where not finite or not above the bound.
        above: The bound, 0 or more.

    Returns:
        A scalar; zero where nothing is valid.

    Examples:
        >>> depth_loss(torch.tensor([2.0, 9.0]), torch.tensor([1.5, 0.0]))
        tensor(0.5000)
    """
    mask = valid_depth(target, above=above)
    return masked_mean((blanked(pred, mask) - blanked(target, mask)).abs(), mask)


class DepthScores(Metric):
    """Errors of depth over all valid pixels it has seen (Eigen et al., 2014).

    ``abs`` is the mean of ``|p - t|``, ``rel`` of ``|p - t| / t``, ``rmse`` the root of the mean square, and ``delta``k
    the share of pixels with ``max(p / t, t / p) < 1.25^k``; a prediction that is not above zero is never within.

    Args:
        above: Targets up to it are no labels, 0 or more.

    Examples:
        >>> scores = DepthScores()
        >>> scores.update(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([1.0, 2.0, 0.0]))
        >>> round(float(scores.compute()["rmse"]), 4)
        0.7071
    """

    full_state_update = False
    sums: Tensor
    pixels: Tensor

    def __init__(self, above: float = 0.0) -> None:
        super().__init__()
        self.above = above
        self.add_state("sums", torch.zeros(len(_NAMES), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("pixels", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, pred: Tensor, target: Tensor) -> None:
        """Add a batch: prediction and target of one shape."""
        mask = valid_depth(target, above=self.above)
        pred, target = pred[mask].float(), target[mask].float()
        error = (pred - target).abs()
        ratio = torch.where(pred > 0, torch.maximum(pred / target, target / pred), torch.inf)
        terms = (error, error / target, error.double().square(), *(ratio < 1.25**k for k in (1, 2, 3)))
        self.sums += torch.stack([term.sum(dtype=torch.float64) for term in terms])
        self.pixels += mask.sum()

    def compute(self) -> dict[str, Tensor]:
        """Return the six scores by name; shares as fractions."""
        means = dict(zip(_NAMES, self.sums / self.pixels, strict=True))
        return means | {"rmse": means["rmse"].sqrt()}


def draw_depth(value: Any, target: Any = None, *, above: float = 0.0, inverse: bool = False) -> Picture:
    """Draw a depth map, near bright and far dark, invalid pixels dark grey.

    Args:
        value: Depth ``[1, H, W]`` or ``[H, W]``.
        target: Depth whose range sets the colours, so that prediction and truth can be compared; by default `value`.
        above: Depths up to it are invalid.
        inverse: Whether larger numbers are nearer.

    Returns:
        uint8 ``[H, W, 3]``.

    Examples:
        >>> draw_depth(torch.tensor([[1.0, 0.0]]))[0, 1].tolist()
        [48, 48, 48]
    """
    depth = torch.as_tensor(value).detach().float().cpu().reshape(value.shape[-2:])
    scale = depth if target is None else torch.as_tensor(target).detach().float().cpu().reshape(target.shape[-2:])
    known = scale[valid_depth(scale, above=above)].double().numpy()
    sign = -1 if inverse else 1
    picture = depth_colours(sign * depth.numpy(), sign * known)
    picture[~valid_depth(depth, above=above).numpy()] = INVALID
    return picture


@ready("depth")
class Depth(ReadyTask):
    """How far each pixel is. Prediction and target float ``[N, 1, H, W]``.

    The loss is the mean absolute error. Metrics: ``abs`` (primary) and ``rmse`` in the unit of the data, ``rel``,
    ``delta1``, ``delta2``, ``delta3`` (percent of pixels within a factor of 1.25, 1.25^2, 1.25^3). All are taken of the
    numbers as they are, on whatever scale, as the literature does.

    Args:
        name: Key of the task.
        unit: Unit of the data; Cityscapes' scaled disparity has none.
        scale: How the numbers grow: ``linear`` with distance; ``inverse``, as disparity, larger where nearer; ``log``,
            Taskonomy's ``ln(1 + d) / ln(2^16)``. Pictures and augmentation go by it.
        above: Targets up to it are no labels, 0 or more; AdaShare leaves out disparities up to 3e-5.

    Raises:
        SettingError: When an option is not allowed.

    Examples:
        >>> Depth().loss(torch.full((1, 1, 1, 2), 3.0), torch.tensor([[[[2.5, torch.nan]]]]))
        tensor(0.5000)
    """

    def __init__(
        self,
        *,
        name: str = "depth",
        unit: str = "m",
        scale: Literal["linear", "inverse", "log"] = "linear",
        above: Annotated[float, Field(ge=0)] = 0.0,
    ) -> None:
        self.settings = self.settings_class(name=name, unit=unit, scale=scale, above=above)
        scores = DepthScores(above)
        metrics = {
            "abs": Reading(scores, "lower", unit, key="abs"),
            "rel": Reading(scores, "lower", key="rel"),
            "rmse": Reading(scores, "lower", unit, key="rmse"),
        }
        metrics |= {each: Reading(scores, "higher", "%", key=each, scale=100) for each in _NAMES[3:]}
        super().__init__(
            name,
            loss=partial(depth_loss, above=above),
            metrics=metrics,
            primary="abs",
            draw=partial(draw_depth, above=above, inverse=scale == "inverse"),
            labelled=partial(valid_depth, above=above),
            check=partial(check_like, channels=1),
        )
